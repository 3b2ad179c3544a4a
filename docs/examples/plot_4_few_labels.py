"""
Few labels
==========

1,700 digits, of which 50 have a label. What do the others add?
"""

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import stackae

x, y = load_digits(return_X_y=True)
train, test = slice(0, 1300), slice(1300, None)
labelled = y[train].copy()
labelled[50:] = -1  # no label

# %%
# Three ways to learn from 50 labels: logistic regression on pixels, a stack from random weights, and a pretrained
# stack. By default a fine-tuning also learns from the rows without labels, where a test on the labels says that it
# helps; ``unlabelled="none"`` leaves that out.

pixels = make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=1000)).fit(x[:50], y[:50])
print(f"logistic regression       {pixels.score(x[test], y[test]):.1%}")

stack = stackae.pretrain(x[train], layers=(200, 100))
for name, choices in {
    "random weights": {"init": "random", "unlabelled": "none"},
    "pretrained": {"unlabelled": "none"},
    "and unlabelled rows": {},
}.items():
    model = stackae.finetune(stack, x[train], labelled, **choices)
    print(f"{name:25} {stackae.evaluate(model, x[test], y[test]).accuracy:.1%}")

# %%
# One draw of 50 labels says little. ``stackae.compare``, or ``stackae compare`` on a file, repeats it over draws and
# numbers of labels, with intervals, and ends with a verdict in one sentence.

found = stackae.compare(x, y, (200, 100), labels=(50,), seeds=2, contenders=("unlabelled", "random", "logistic"))
print(found.verdict)
