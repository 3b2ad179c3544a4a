"""The Python face: pretrain, finetune, evaluate, save and load, on rows in the data's own units."""
