"""What every model card says, with places for what is the bundle's own."""

from typing import Final

HEAD: Final = """\
---
language: ru
license: other
license_name: none-given
library_name: transformers
pipeline_tag: text-classification
base_model: {base}
---

# {name}

Says which of seven emotions a piece of transcribed Russian speech carries:
{emotions}.
A text can carry several, so each score is a probability of its own. {network}

```python
{first}from transformers import pipeline

classify = pipeline("text-classification", model="{name}", top_k=None, function_to_apply="sigmoid")
classify("ну сколько можно ждать я уже третий раз звоню")
```

{decided}
The scores are calibrated (Platt scaling, folded into the output layer).
The text is expected as `schemas.normalization.normalize` returns it (version {normalizer}): lower case, е for ё. The
worker cuts a text at {max_tokens} tokens; elsewhere give `truncation=True, max_length={max_tokens}` for texts that may
be longer.

Base encoder: {base}{base_licence}. Vocabulary cut to {vocabulary:,} pieces. Version {version}.

Nobody has given this model a licence. Whoever publishes it gives one that the sets below allow.

## Trained on

| set | rows | what, licence |
|---|---|---|
{sets}

{taught}
"""

PLAIN: Final = "An ordinary `AutoModelForSequenceClassification`;\nno remote code:"

OURS: Final = """\
The encoder has a head of its own, so that
transformers need the package `asr-emotions` to open it (no remote code); an export to ONNX needs nothing of it:"""

BY_LABELS: Final = (
    "Each set taught an output head of its own, since annotators differ; the head that remains is {head}."
)

BY_TEACHERS: Final = """\
Translated and English GoEmotions rows were taught by scores, not labels: {teachers} teachers{encoders}
scored the English originals, each those that it had not seen in either language, and the mean of their scores became
the target of the translation too."""

BY_THRESHOLD: Final = "An emotion is assigned where its score reaches its threshold in `manifest.json`."
EXCLUSIVE: Final = "`neutral` is assigned exactly where no other emotion is."
CONVENTIONS: Final = """\
It follows {count} conventions of labels. The first seven outputs, with plain names, are those of {first}. Further ones
are named `{other}:anger` and so on. `manifest.json` has their thresholds under `others`. The worker serves them where
`WORKER_CONVENTION` says so."""

FIGURES: Final = """
## How good it is{heading}

On {rows:,} rows ({measured_on}: lower case, no punctuation), none of them trained on.
Calibration and thresholds tuned on one half (by CRC-32 of the row's id), measured on the other, both ways:

| tuned on | weighted F1 there | **weighted F1 on the other half** | macro F1 there | **macro F1 on the other half** |
|---|---|---|---|---|
{halves}

As shipped (calibration and thresholds tuned on both halves, so these figures flatter a little):

| emotion | F1 | average precision | calibration error | threshold | rows |
|---|---|---|---|---|---|
{emotions}
| weighted / mean | {weighted_f1:.3f} (macro {macro_f1:.3f}) | {weighted_ap:.3f} | {mean_ece:.3f} | | |
{unseen}{sets}"""

UNSEEN: Final = """
As shipped, on {rows:,} rows of the same source that nobody trained on or tuned by: macro F1 {macro_f1:.3f}, weighted F1
{weighted_f1:.3f}, exact match {exact_match:.3f}, mean calibration error {mean_ece:.3f}.
"""

LIMITS: Final = """
## Limits

- What it learned from stands above, and your calls are another matter. Measure it on labelled transcripts of your own
  before you rely on it.
- It reads words, not voices: irony, tone and loudness do not reach it. Each segment is read alone.
- Rare emotions are its weakest: the tables above tell how many rows of each it was measured on. In the convention of
  the public sets, "joy" includes gratitude, approval and care, and curiosity counts as surprise.
- It describes what a text expresses, not what a person feels. Not for decisions about individual people.
"""

SETS: Final = """
On each set's validation rows, with the thresholds above. Macro F1 is over the annotated emotions but neutral; in
brackets, with calibration and thresholds from the other half of the set itself. The changes are of weighted F1, which
thresholds that were chosen on the very rows flatter before the change.

| set | rows | weighted F1, ASR form | macro F1, ASR form | macro F1, written | written instead | 15 % word errors |
|---|---|---|---|---|---|---|
{rows}
"""

BEFORE: Final = "It went on from a bundle that had learnt {sets}.\n"
