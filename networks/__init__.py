"""Networks of our own, which worker and training share; importing them makes them known to transformers.

With this package installed, `import networks` is all that plain transformers need to open such a bundle.
"""

from transformers import AutoModelForSequenceClassification

from networks.pooled import POOLINGS, PooledConfig, PooledForSequenceClassification

__all__ = ["POOLINGS", "AutoModelForSequenceClassification", "PooledConfig", "PooledForSequenceClassification"]
