"""What the report asks: SQL that Postgres and DuckDB read alike, so that both answer by one definition.

A call is what bears one session within a source; a message without a session is a call of its own. Whoever is not known
as an agent counts as a customer.
"""

from typing import Final

from schemas.emotions import EMOTIONS
from worker.report.score import DISTRESS, WORST_TURNS

_CALL: Final = "coalesce(session_id, message_id, transcript_id)"
_DISTRESSED: Final = " OR ".join(f"'{emotion}' = ANY (emotions)" for emotion in DISTRESS)
_ORDER: Final = 'segment NULLS LAST, spoken_at NULLS LAST, part NULLS FIRST, transcript_id COLLATE "C"'

ALWAYS: Final = "true"
PERIOD: Final = "spoken_at >= :since AND spoken_at < :until"


def calls(when: str) -> str:
    """Return the question for a row a call, with what its score is made of.

    Args:
        when: ALWAYS or PERIOD.
    """
    return f"""
    WITH turns AS (
        SELECT source, {_CALL} AS call, segment, spoken_at, part, transcript_id, emotions, {", ".join(DISTRESS)},
               greatest({", ".join(DISTRESS)}) AS distress, role IS DISTINCT FROM 'agent' AS customer,
               attributes ->> 'agent' AS agent
        FROM emotion_results WHERE {when}
    ), placed AS (
        SELECT *, count(*) OVER (PARTITION BY source, call) AS spoken,
               row_number() OVER (PARTITION BY source, call ORDER BY {_ORDER}) AS place,
               row_number() OVER (PARTITION BY source, call ORDER BY distress DESC) AS rank
        FROM turns WHERE customer AND distress IS NOT NULL
    ), scored AS (
        SELECT source, call, count(*) AS customer_turns,
               avg(distress) FILTER (WHERE rank <= {WORST_TURNS}) AS severity,
               count(*) FILTER (WHERE {_DISTRESSED}) AS distressed,
               avg(distress) FILTER (WHERE 3 * place > 2 * spoken) AS ending,
               avg(distress) FILTER (WHERE 3 * place <= 2 * spoken) AS earlier,
               {", ".join(f"max({emotion}) AS peak_{emotion}" for emotion in DISTRESS)},
               {", ".join(f"bool_or('{emotion}' = ANY (emotions)) AS has_{emotion}" for emotion in EMOTIONS)}
        FROM placed GROUP BY source, call
    ), wholes AS (
        SELECT source, call, count(*) AS turns, min(spoken_at) AS started, max(spoken_at) AS ended, max(agent) AS agent
        FROM turns GROUP BY source, call
    )
    SELECT * FROM wholes LEFT JOIN scored USING (source, call) ORDER BY source COLLATE "C", call COLLATE "C"
    """  # noqa: S608 - made of constants.


def moments(when: str) -> str:
    """Return the question for a row a moment, source and role: how many texts carry each emotion."""
    counts = ", ".join(f"count(*) FILTER (WHERE '{emotion}' = ANY (emotions)) AS {emotion}" for emotion in EMOTIONS)
    return f"""
    SELECT date_trunc(:step, spoken_at) AS moment, source, coalesce(role, 'unknown') AS role,
           count(anger) AS scored, {counts}
    FROM emotion_results WHERE {when} AND anger IS NOT NULL AND spoken_at IS NOT NULL GROUP BY 1, 2, 3
    """  # noqa: S608 - made of constants.


def outcomes(when: str) -> str:
    """Return the question for a row a model, convention and outcome: scored, empty, or why a text was not scored."""
    return f"""
    SELECT model_version, convention,
           CASE WHEN anger IS NOT NULL THEN 'scored' ELSE coalesce(not_scored, 'empty') END AS outcome,
           count(*) AS texts, min(spoken_at) AS first, max(spoken_at) AS last
    FROM emotion_results WHERE {when} GROUP BY 1, 2, 3 ORDER BY 4 DESC
    """  # noqa: S608 - made of constants.


def turns(when: str, calls: int) -> str:
    """Return the question for the rows of some calls, each call's in their order.

    Args:
        when: ALWAYS or PERIOD.
        calls: number of calls; their names are the values `source_0`, `call_0`, `source_1` and so on.
    """
    wanted = ", ".join(f"(CAST(:source_{at} AS text), CAST(:call_{at} AS text))" for at in range(calls))
    return f"""
    SELECT source, {_CALL} AS call, role, speaker, text, emotions, {", ".join(EMOTIONS)}, model_version, convention,
           not_scored
    FROM emotion_results WHERE {when} AND (source, {_CALL}) IN (VALUES {wanted}) ORDER BY {_ORDER}
    """  # noqa: S608 - made of constants.
