"""Laws of runs that are larger than any should be: what is shown is right, in little memory, and tells its limits."""

from __future__ import annotations

import random
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from cli_cases import PRETRAIN, says, stop
from shell import Shell

from stackae.errors import RunError
from stackae.plots.curves import loss_curves, loss_curves_compared, loss_curves_together
from stackae.runs import Run
from stackae.runs.checkpoints import MOST_TRIED, newest_state
from stackae.runs.places import default_path, free_file
from stackae.runs.records import MOST_STAGES, each_record, sealed
from stackae.runs.summary import MOST_POINTS, last_trainings, stage_summaries


def epoch(stage: str, number: int, best: bool = False, **figures: float | None) -> dict[str, Any]:
    usual = {"loss": 1 / number, "validation_loss": None, "validation_error": None, "learning_rate": 0.1}
    return {"event": "epoch", "stage": stage, "epoch": number, "best": best or number == 1, **usual, **figures}


def trainings(generator: random.Random) -> list[dict[str, Any]]:
    """Of some stages, some of them trained more than once."""
    made = []
    for _ in range(12):
        stage = f"layer{generator.randrange(4)}"
        made += [epoch(stage, number, generator.random() < 0.2) for number in range(1, generator.randrange(2, 9))]
    return made


# ---- records


@pytest.mark.parametrize("seed", range(20))
def test_what_a_stage_reached_is_what_its_last_training_did(seed: int) -> None:
    records = trainings(random.Random(seed))
    last: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        last[record["stage"]] = [*(last.get(record["stage"], []) if record["epoch"] > 1 else []), record]
    found = stage_summaries(records)
    assert [each.stage for each in found] == list(last)
    for each in found:
        best = [record for record in last[each.stage] if record["best"]][-1]
        assert (each.epochs, each.kept_epoch, each.loss) == (len(last[each.stage]), best["epoch"], best["loss"])
    assert last_trainings(records) == [record for stage in last.values() for record in stage]


def test_a_long_curve_keeps_its_first_best_and_last_epoch() -> None:
    for count in (2 * MOST_POINTS, 2 * MOST_POINTS + 1, 50_003):
        records = [epoch("layer1", number, number == 777) for number in range(1, count + 1)]
        found = last_trainings(records)
        numbers = [record["epoch"] for record in found]
        assert numbers == sorted(set(numbers)) and {1, 777, count} <= set(numbers)
        assert MOST_POINTS <= len(found) <= 2 * MOST_POINTS + 2
        assert all(records[record["epoch"] - 1] is record for record in found)
        assert (len(found) == count) == (count <= 2 * MOST_POINTS)


def test_of_many_epochs_one_is_held_at_a_time() -> None:
    content = b"\n".join(sealed(epoch("layer1", number)) for number in range(1, 5001))
    tracemalloc.start()
    (found,) = stage_summaries(each_record(content))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.epochs == 5000 and peak < len(content) / 2


def test_more_stages_than_a_run_can_have_are_refused(trained: Shell) -> None:
    run = Run(trained.run)
    run.publish({"metrics.jsonl": b"\n".join(sealed(epoch(f"layer{each}", 1)) for each in range(MOST_STAGES + 1))})
    with pytest.raises(RunError, match=r"an epoch or an evaluation a line, got line 10001: more than 10,000 stages"):
        run.metrics()
    assert "damaged" in trained.does("runs", "list")


def test_a_long_table_says_how_much_of_it_is_shown(trained: Shell) -> None:
    trained.does(*PRETRAIN, "--run", "runs/other")
    Run(trained.folder / "runs" / "first").publish(
        {"metrics.jsonl": b"\n".join(sealed(epoch(f"layer{each}", 1)) for each in range(1, 301))}
    )
    for command in (("show", "runs/first"), ("compare", "runs/first", "runs/other")):
        text = trained.does("runs", *command)
        says(text, "200 of 300 stages are shown; --json has them all")
        assert "layer200" in text and "layer201" not in text


# ---- checkpoints


def test_of_many_damaged_checkpoints_some_are_looked_at(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    stop(fresh, *PRETRAIN, "--run", "runs/long", "--epochs", "6")
    run = fresh.folder / "runs" / "long"
    for number in range(500):
        (run / "checkpoints" / f"{number + 1000:06d}-layer1-epoch1").mkdir()
    seen: list[Path] = []

    def looked_at(path: Path) -> None:
        seen.append(path)
        raise RunError("damaged")

    monkeypatch.setattr("stackae.runs.checkpoints.state_of", looked_at)
    with pytest.raises(RunError, match=r"expected a checkpoint with a whole state\.json, got none"):
        newest_state(run)
    assert len(seen) == MOST_TRIED
    ended = fresh("runs", "verify", "runs/long")
    says(ended.out, "500 damaged", "200 of 500 damages are shown; --json has them all")


# ---- pictures


@pytest.mark.parametrize(("stages", "columns", "rows"), [(1, 1, 1), (3, 3, 1), (4, 3, 2), (9, 3, 2)])
def test_panels_stand_in_rows_and_no_picture_is_too_wide(
    monkeypatch: pytest.MonkeyPatch, stages: int, columns: int, rows: int
) -> None:
    monkeypatch.setattr("stackae.plots.curves.PANELS_A_ROW", 3)
    monkeypatch.setattr("stackae.plots.curves.MOST_PANELS", 6)
    epochs = [epoch(f"layer{stage}", number) for stage in range(stages) for number in (1, 2)]
    for content in (loss_curves(epochs), loss_curves_together([epochs]), loss_curves_compared({"one": epochs})):
        width, height = struct.unpack(">II", content[16:24])
        assert (width, height) == (round(4.2 * 120 * columns), round(3.4 * 120 * rows))


# ---- names


@pytest.mark.parametrize("data", ["n" * 250 + ".csv", "\u00fc" * 120 + ".npy", "\U0001d518" * 60 + ".csv", "short.csv"])
@pytest.mark.parametrize("sizes", [(8, 4), tuple(range(1000, 1119)), (10**9,) * 5])
def test_default_names_fit_whatever_the_data_are_called_and_however_many_layers_there_are(
    data: str, sizes: tuple[int, ...]
) -> None:
    path = default_path(data, sizes, 1000)
    name = path.name.encode()
    assert len(name) <= 130 and path.parent == Path("runs")  # names may have 255 bytes, on some file systems 143
    assert path.name[:8].isdigit() and path.name[8] == "-" and path.name[9:15].isdigit()
    assert path.name.endswith("-1000-seeds")
    if len(sizes) == 119:
        assert "-1000-to-1118-118-layers-" in path.name
    if data == "short.csv" and len(sizes) == 2:
        assert path.name.endswith("-short-8-4-1000-seeds")


def test_data_of_a_long_name_are_trained_on_without_a_name_for_the_run(fresh: Shell) -> None:
    data = "\u00fc" * 120 + ".npy"
    (fresh.folder / "unlabelled.npy").rename(fresh.folder / data)
    fresh.does("pretrain", "--layers", "8,6,4", "--data", data)
    assert len(fresh.run.name.encode()) < 143
    fresh.does("pretrain", "--layers", "8,6,4", "--data", data, "--run", fresh.run, "--force")


# ---- compare


def test_a_comparison_replaces_no_file_but_by_force(trained: Shell) -> None:
    trained.does(*PRETRAIN, "--run", "runs/other")
    compare = ("runs", "compare", "runs/first", "runs/other")
    (trained.folder / "mine.png").write_text("mine")
    (trained.folder / "link.png").symlink_to("nowhere")
    for name in ("mine.png", "link.png"):
        says(trained.refuses(2, *compare, "--out", name), f"--out: expected a new file, got {name}", "add --force")
    says(trained.refuses(2, *compare, "--out", "no/where.png"), "--out: expected a folder that exists, got no")
    trained.does(*compare, "--out", "mine.png", "--force")
    assert (trained.folder / "mine.png").read_bytes().startswith(b"\x89PNG")


def test_a_comparison_without_a_name_takes_the_next_that_is_free(trained: Shell) -> None:
    trained.does(*PRETRAIN, "--run", "runs/other")
    (trained.folder / "runs" / "compare.png").write_text("mine")
    for number in (2, 3):
        says(trained.does("runs", "compare", "runs/first", "runs/other"), f"picture     runs/compare-{number}.png")
    assert (trained.folder / "runs" / "compare.png").read_text() == "mine"
    assert free_file(trained.folder / "runs" / "compare.png").name == "compare-4.png"


def test_a_stage_of_one_epoch_says_its_losses_where_a_curve_would_be_a_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[str]] = []

    def kept(figure: Any) -> bytes:
        told.append([text.get_text() for axes in figure.axes for text in axes.texts])
        return b"drawn"

    monkeypatch.setattr("stackae.plots.curves.png_of", kept)
    loss_curves([epoch("layer1", 1), epoch("layer1", 2), epoch("classifier", 1)])
    loss_curves([epoch("classifier", 1)])
    assert told[0] == told[1] and len(told[0]) == 1 and told[0][0].startswith("loss per row\ntraining ")
