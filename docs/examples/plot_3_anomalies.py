"""
Anomalies: rows unlike the training rows
========================================

A stack that has only seen ordinary rows restores strange ones badly. ``stackae pretrain`` calibrates scores on
validation rows, so that a threshold has a meaning: at most that share of ordinary rows is above it.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

import stackae
from stackae.workflows import pretrain_run, run_settings

x, y = load_breast_cancer(return_X_y=True)
benign, malignant = x[y == 1], x[y == 0]
np.save("benign.npy", benign[:280])

# %%
# The scores need a run folder, as the commands write it. The same is ``stackae pretrain --layers auto,16,4 --data
# benign.npy --scale standard``.

settings = run_settings({"data": "benign.npy", "layers": "auto,16,4", "scale": "standard"})
pretrain_run(settings, "anomalies-run", force=True)
detector = stackae.load_run("anomalies-run").load_detector()
print("methods:", ", ".join(detector.methods))

# %%
# Scores of tumours that it has not seen, benign and malignant. The line is the threshold that 5 % of benign ones
# exceed.

scores = {"benign, unseen": detector.scores(benign[280:]), "malignant": detector.scores(malignant)}
threshold = detector.threshold(0.05)
figure, place = plt.subplots(figsize=(7, 3))
edges = np.linspace(0, float(np.quantile(np.concatenate(list(scores.values())), 0.98)), 40)
for name, found in scores.items():
    place.hist(found.numpy(), edges, alpha=0.6, label=f"{name}: {float((found > threshold).float().mean()):.0%} above")
place.axvline(threshold, color="black", linewidth=1)
place.set_xlabel("score")
place.legend()
figure.tight_layout()

# %%
# On the command line, ``stackae score --data new.npy`` writes a table and a picture, names the features that are to
# blame, and compares five other detectors where anomalies are known (``--against``).
