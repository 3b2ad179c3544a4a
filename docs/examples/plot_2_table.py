"""
A table with categories and missing cells
=========================================

A data frame goes in as it is: columns become features by what they hold, and what was done is kept and done again to
new rows.
"""

import warnings

import numpy as np
import pandas as pd

import stackae

# %%
# Rows of a plant: three sensors that follow a hidden load, a machine's kind, and whether it failed the next day. A
# twentieth of the cells is missing.

generator = np.random.default_rng(0)
rows = 3000
load, kind = generator.random(rows), generator.choice(["pump", "press", "mixer"], rows)
frame = pd.DataFrame(
    {
        "temperature": 40 + 30 * load + 4 * (kind == "press") + generator.normal(0, 1, rows),
        "vibration": load**2 * (1 + (kind == "pump")) + generator.normal(0, 0.05, rows),
        "current": 5 + 10 * load + generator.normal(0, 0.5, rows),
        "kind": kind,
        "failed": np.where(load + 0.3 * (kind == "pump") + generator.normal(0, 0.1, rows) > 1, "yes", "no"),
    }
)
for name in ("temperature", "vibration", "kind"):
    frame.loc[generator.random(rows) < 0.05, name] = None
print(frame.head())

# %%
# ``y`` names the column of labels: it is no feature. Notes on columns are warnings; here they are printed.

with warnings.catch_warnings(record=True) as notes:
    warnings.simplefilter("always")
    stack = stackae.pretrain(frame[:2400], layers=(16, 3), y="failed", missing="indicator")
for note in notes:
    print(note.message)
warnings.simplefilter("ignore", stackae.DataWarning)  # from here on they are known
print("features:", stack.layer_sizes[0])

# %%
# A classifier learns from 100 of the labels.

model = stackae.finetune(stack, frame[:2400], "failed", labels=100)
report = stackae.evaluate(model, frame[2400:], "failed")
print(f"accuracy {report.accuracy:.1%}; balanced, so that both classes count the same: {report.balanced_accuracy:.1%}")

# %%
# Reconstructions come back as columns, with the categories. Where a cell was missing, this is what the network takes it
# to have been.

print(pd.DataFrame(stack.columns(stack.reconstruct(frame[2400:2405]))))
print(frame[2400:2405])
