"""
A stack on digits
=================

Two layers are trained without labels, one on the codes of the other; then a classifier learns on both.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import stackae

x, y = load_digits(return_X_y=True)  # 1,797 images of 8x8 pixels, 0 to 16
x, x_test, y, y_test = train_test_split(x, y, test_size=400, stratify=y, random_state=0)

# %%
# Pretraining
# -----------
#
# 64-300-64 is trained to restore rows of which a quarter of the pixels were set to 0, and 64-300 is kept; 300-150-300
# is trained on its codes. Rows are scaled inside, so that all that goes in and comes out has the units of ``x``. A
# tenth of the rows is held out and chooses the best epoch of each layer.

stack = stackae.pretrain(x, layers=(300, 150), activation="sigmoid", loss="bce", corruption="masking:0.25")
for each in (stack.history[0], stack.history[-1]):
    print(f"epoch {each.epoch} of {each.stage}: loss {each.loss:.3f}, validation loss {each.validation_loss:.3f}")

# %%
# What it restores
# ----------------
#
# Codes of 150 numbers, decoded through both layers again.

restored = stack.reconstruct(x_test)
figure, places = plt.subplots(2, 12, figsize=(9, 1.7))
for column in range(12):
    for row, images in enumerate((x_test, restored.numpy())):
        places[row, column].imshow(images[column].reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        places[row, column].axis("off")

# %%
# What the units of the first layer look for
# ------------------------------------------

weights = stack.network.autoencoders[0].encoder.weight.detach()
figure, places = plt.subplots(4, 12, figsize=(9, 3.1))
for unit, place in enumerate(places.flat):
    place.imshow(weights[unit].reshape(8, 8), cmap="RdBu", vmin=-weights.abs().max(), vmax=weights.abs().max())
    place.axis("off")

# %%
# Fine-tuning
# -----------
#
# A softmax layer is put on the codes, and all layers learn from the labels.

model = stackae.finetune(stack, x, y, head="classifier")
report = stackae.evaluate(model, x_test, y_test)
print(f"{report.accuracy:.1%} of {len(y_test)} test digits are right")

# %%
# Keeping it
# ----------
#
# A saved model is a folder of safetensors and TOML, which ``stackae predict --run digits-model`` reads too.

model.save("digits-model", force=True)
print(stackae.load("digits-model", "classifier").predict(x_test[:10]).classes, y_test[:10])
