"""One retraining: snapshot, splits, candidates, gate, schedule."""
