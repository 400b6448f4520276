-- Which calls should a supervisor listen to first? Of one week, the customer's sharpest fear, anger or disgust, and the words it was heard in.
SELECT session_id, source, round(peak::numeric, 2) AS peak, worst.text
FROM (
    SELECT *, greatest(peak_fear, peak_anger, peak_disgust) AS peak
    FROM session_emotions_between('2026-03-02', '2026-03-09')
    WHERE role IS DISTINCT FROM 'agent'
    ORDER BY peak DESC NULLS LAST
    LIMIT 10
) AS sessions
CROSS JOIN LATERAL (
    SELECT text
    FROM emotion_results AS said
    WHERE said.session_id = sessions.session_id AND said.speaker IS NOT DISTINCT FROM sessions.speaker
    ORDER BY greatest(said.fear, said.anger, said.disgust) DESC NULLS LAST
    LIMIT 1
) AS worst
ORDER BY peak DESC NULLS LAST;

-- Where and when is dissatisfaction concentrated? Anger and disgust by source and hour, without hours of fewer than five segments, without the agents' words.
SELECT hour, source, emotion, segments, total_segments, round(100 * share::numeric) AS percent
FROM hourly_emotions WHERE hour >= '2026-03-02' AND hour < '2026-03-09' AND role IS DISTINCT FROM 'agent'
  AND emotion IN ('anger', 'disgust') AND total_segments >= 5 AND segments > 0
ORDER BY share DESC, hour
LIMIT 10;

-- Which calls turn around? How much gladder, and how much less angry, customers end than they began.
SELECT session_id,
       count(*) AS segments,
       round(avg(joy) FILTER (WHERE late)::numeric - avg(joy) FILTER (WHERE NOT late)::numeric, 2) AS joy_gained,
       round(avg(anger) FILTER (WHERE NOT late)::numeric - avg(anger) FILTER (WHERE late)::numeric, 2) AS anger_lost
FROM (
    SELECT session_id, joy, anger,
           percent_rank() OVER (PARTITION BY session_id ORDER BY segment) >= 0.5 AS late
    FROM emotion_results
    WHERE spoken_at >= '2026-03-02' AND spoken_at < '2026-03-09' AND role = 'customer' AND segment IS NOT NULL
) AS halves
GROUP BY session_id
HAVING count(*) >= 4
ORDER BY joy_gained DESC, anger_lost DESC
LIMIT 10;
