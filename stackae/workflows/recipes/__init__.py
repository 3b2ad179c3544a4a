"""Recipes of published results: what they are, their training, and the figures that it is compared by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackae.lazy import lazily

if TYPE_CHECKING:
    from stackae.workflows.recipes.training import RecipeResult as RecipeResult
    from stackae.workflows.recipes.training import recipes as recipes
    from stackae.workflows.recipes.training import run_recipe as run_recipe

__getattr__, __dir__ = lazily(__name__, __file__)
