"""Laws of what is removed: only what is provably stackae's, whatever other people put into a run or beside it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_cases import PRETRAIN, SWEEP, says, stop
from shell import Shell

from stackae.errors import ConfigError, RunError
from stackae.runs import LATEST, Folder, Run, check_free, durable, new_runs
from stackae.runs.checkpoints import numbered
from stackae.runs.lock import in_turn
from stackae.runs.ownership import asides, is_proven, never_began, strangers

FIRST = (*PRETRAIN, "--run", "runs/first")
EXTENSION = json.dumps({"manifest_version": 3, "name": "a browser extension", "version": "1.0"})
LOCK, LOG = "process 1 on here\n", "2026-01-01 10:00:00+0000  $ stackae pretrain\n"


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


# ---- folders of others (no run at all)


def extension(folder: Path) -> None:
    write(folder, manifest__json=EXTENSION, background__js="run()")


def others_checkpoints(folder: Path) -> None:
    write(folder / "checkpoints" / "000100-step", model__safetensors="weights", optimizer__pt="moments")


def checkpoints_like_ours(folder: Path) -> None:
    write(folder / "checkpoints" / "000002-layer1-end", state__json="{}", manifest__json=EXTENSION)


def lock_and_log(folder: Path) -> None:
    write(folder, lock="held by the printer", log__txt="dear diary")


def log_alone(folder: Path) -> None:
    write(folder, log__txt="dear diary")


def a_temporary_of_others(folder: Path) -> None:
    write(folder, __notes__tmp="mine")


def seeds_of_others(folder: Path) -> None:
    write(folder / "seed-1", manifest__json=EXTENSION)


OTHERS = (extension, others_checkpoints, checkpoints_like_ours, lock_and_log, log_alone, a_temporary_of_others)


@pytest.mark.parametrize("made", [*OTHERS, seeds_of_others])
def test_a_folder_of_others_is_refused_and_left_as_it_is(fresh: Shell, made: Callable[[Path], None]) -> None:
    theirs = fresh.folder / "theirs"
    made(theirs)
    before = {path: path.read_bytes() for path in theirs.rglob("*") if path.is_file()}
    for extra in ((), ("--force",), ("--resume",), ("--resume", "--force")):
        says(fresh.refuses(2, *PRETRAIN, "--run", "theirs", *extra), "theirs: expected a new folder", "choose another")
    says(fresh.refuses(4, "resume", "theirs"), "theirs: expected an unfinished run, got something else")
    assert {path: path.read_bytes() for path in theirs.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", [".new.tmp", ".new.replaced-1", ".new.replaced", ".stackae-notes", ".latest.tmp"])
def test_what_lies_beside_a_run_is_left_as_it_is(fresh: Shell, name: str) -> None:
    beside = fresh.folder / "runs" / name
    write(beside, mine__txt="mine")
    fresh.does(*PRETRAIN, "--run", "runs/new")
    fresh.does(*PRETRAIN, "--run", "runs/new", "--force")
    assert (beside / "mine.txt").read_text() == "mine"
    assert sorted(path.name for path in (fresh.folder / "runs").iterdir()) == sorted([name, "latest", "new"])


def test_another_run_that_lies_where_a_replaced_one_would_is_left_as_it_is(trained: Shell) -> None:
    kept = trained.folder / "runs" / ".first.replaced-1"
    shutil.copytree(trained.run, kept)
    before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    trained.does(*FIRST, "--force")
    assert {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before


def test_a_copy_of_a_replaced_run_under_another_name_is_left_as_it_is(fresh: Shell) -> None:
    fresh.does(*FIRST)
    stop(fresh, *FIRST, "--force", "--epochs", "6")
    (aside,) = asides(fresh.folder / "runs" / "first")
    copy = aside.with_name(".first.replaced-by-me")
    shutil.copytree(aside, copy)
    fresh.does("resume")
    assert not aside.exists() and (copy / "layer1.safetensors").exists()


# ---- what is put into a run


@pytest.mark.parametrize(
    "place", ["notes.txt", "figures/plot.pdf", "checkpoints/notes.txt", "checkpoints/000001-pretrain-begin/why.md"]
)
def test_a_run_with_notes_is_not_replaced_and_the_notes_are_named(trained: Shell, place: str) -> None:
    path = trained.run / place
    write(path.parent, **{path.name.replace(".", "__"): "mine"})
    named = place.partition("/why")[0].partition("/plot")[0]
    says(trained.refuses(2, *FIRST, "--force"), f"expected a run and nothing besides, got {named}", "move away")
    path.rename(trained.folder / "moved")
    if path.parent.name == "figures":
        path.parent.rmdir()
    trained.does(*FIRST, "--force")


def test_many_notes_are_counted(trained: Shell) -> None:
    write(trained.run, **{f"note{number}": "mine" for number in range(5)})
    says(trained.refuses(2, *FIRST, "--force"), "got note0, note1, note2 and 2 more, which its manifest.json does not")


@pytest.mark.parametrize("kind", ["link", "folder link"])
def test_a_link_in_a_run_is_not_the_run_s(trained: Shell, kind: str) -> None:
    theirs = trained.folder / "theirs"
    write(theirs, mine="mine")
    path = trained.run / ("layer1.safetensors" if kind == "link" else "checkpoints")
    path.rename(trained.folder / "moved")
    path.symlink_to(theirs / "mine" if kind == "link" else theirs)
    says(trained.refuses(2, *FIRST, "--force"), "expected a run and nothing besides, got", path.name)
    assert (theirs / "mine").read_text() == "mine"


def test_notes_that_were_put_into_a_run_while_it_was_replaced_stay(fresh: Shell) -> None:
    fresh.does(*FIRST)
    stop(fresh, *FIRST, "--force", "--epochs", "6")
    (aside,) = asides(fresh.folder / "runs" / "first")
    (aside / "notes.txt").write_text("mine")
    ended = fresh("resume")
    assert ended.code == 0 and (aside / "notes.txt").read_text() == "mine"
    says(ended.err, f"kept        runs/{aside.name}: there lies more than the run that was replaced")


def test_notes_that_were_put_into_a_run_that_failed_stay_and_so_does_the_run_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "one"
    with new_runs(path, force=False) as (_, (run,)):
        run.publish({"old": b"1"})
    with (
        pytest.raises(RunError, match=r"expected to put back the run that was there, got notes\.txt"),
        new_runs(path, force=True) as (_, (run,)),
    ):
        run.publish({"new": b"2"})
        (path / "notes.txt").write_text("mine")
        raise KeyError
    assert (path / "notes.txt").read_text() == "mine"
    (aside,) = asides(path)
    assert Run(aside).holds("old")


def test_a_failure_in_a_folder_that_was_there_leaves_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(KeyError), new_runs(tmp_path / "empty", force=False) as (_, (run,)):
        run.publish({"new": b"2"})
        raise KeyError
    assert never_began(tmp_path / "empty") and not (tmp_path / "empty" / "new").exists()


def test_a_checkpoint_with_notes_is_not_pruned(trained: Shell) -> None:
    ends = [path for _, path in numbered(trained.run) if path.name.endswith("classifier-end")]
    (ends[0] / "why.md").write_text("mine")
    trained.does("finetune", "--epochs", "3")
    trained.does("finetune", "--epochs", "4")
    assert (ends[0] / "why.md").read_text() == "mine" and (ends[0] / "state.json").exists()
    assert len([path for _, path in numbered(trained.run) if path.name.endswith("classifier-end")]) == 2


def test_a_run_whose_list_is_damaged_is_mended_before_it_is_replaced(trained: Shell) -> None:
    manifest = trained.run / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-30])
    says(trained.refuses(2, *FIRST, "--force"), "does not list; give `stackae resume runs/first` first")
    trained.does("resume", "runs/first")
    trained.does(*FIRST, "--force")


def test_a_damaged_checkpoint_is_the_run_s_all_the_same(trained: Shell) -> None:
    for _, path in numbered(trained.run):
        (path / "state.json").write_bytes(b"damaged")
    assert is_proven(trained.run) and strangers(trained.run) == []
    trained.does(*FIRST, "--force")


# ---- lock and log


@pytest.mark.parametrize("name", ["lock", "log.txt"])
def test_nothing_is_written_into_a_file_that_has_another_name_elsewhere(trained: Shell, name: str) -> None:
    theirs = trained.folder / "theirs"
    theirs.write_bytes((trained.run / name).read_bytes())
    before = theirs.read_bytes()
    (trained.run / name).unlink()
    os.link(theirs, trained.run / name)
    ended = trained("finetune")
    assert theirs.read_bytes() == before
    if name == "lock":
        assert ended.code == 4
        says(ended.err, "lock: expected the lock of a run, got a file with 2 names (hard links); move it away")
    else:
        says(ended.err, "log.txt is not stackae's, or has another name elsewhere: nothing is logged")
    says(trained.refuses(2, *FIRST, "--force"), f"expected a run and nothing besides, got {name}")


@pytest.mark.parametrize(("name", "content"), [("lock", "the printer's"), ("log.txt", "dear diary\n")])
def test_nothing_is_written_into_a_file_of_others(trained: Shell, name: str, content: str) -> None:
    (trained.run / name).write_text(content)
    assert trained("finetune").code == (4 if name == "lock" else 0)
    assert (trained.run / name).read_text() == content
    says(trained.refuses(2, *FIRST, "--force"), f"expected a run and nothing besides, got {name}")


def test_a_folder_that_another_process_holds_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stackae.runs.lock.TURN", 0.01)
    with in_turn(tmp_path) as first, in_turn(tmp_path) as second:
        assert (first, second) == (True, False)
    with in_turn(tmp_path) as again, in_turn(tmp_path / "nowhere") as nowhere:
        assert (again, nowhere) == (True, False)


def test_what_a_run_left_that_was_killed_at_once_is_begun_in(fresh: Shell) -> None:
    run = fresh.folder / "runs" / "new"
    write(run, lock=LOCK, log__txt=LOG)
    write(run / "checkpoints" / ".stackae-0123456789abcdef.tmp", state__json="{")
    assert never_began(run)
    fresh.does(*PRETRAIN, "--run", "runs/new")
    assert (run / "log.txt").read_text().startswith(LOG) and list(run.rglob(".*")) == []


# ---- files of output


@pytest.mark.parametrize(
    "write_it", [durable.write_whole, lambda path, content: durable.write_folder(path, {"a": content})]
)
def test_nothing_beside_a_file_that_is_written_is_touched(tmp_path: Path, write_it: Callable[..., None]) -> None:
    write(tmp_path / ".out.tmp", mine="mine")
    write_it(tmp_path / "out", b"new")
    assert (tmp_path / ".out.tmp" / "mine").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.tmp", "out"]


def test_a_name_as_long_as_names_may_be_is_written(tmp_path: Path) -> None:
    durable.write_whole(tmp_path / ("n" * 255), b"new")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"new"


def test_nothing_in_the_library_removes_a_folder_with_all_that_is_in_it() -> None:
    root = Path(__file__).parents[1]
    for path in (*(root / "stackae").rglob("*.py"), *(root / "cli").rglob("*.py")):
        assert "rmtree" not in path.read_text(), path


def test_a_listing_that_fails_leaves_no_file_that_nothing_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    folder.publish({"old": b"1"})
    with monkeypatch.context() as patched:
        patched.setattr(Folder, "_list", lambda *arguments: (_ for _ in ()).throw(KeyError()))
        with pytest.raises(KeyError):
            folder.publish({"new": b"2"})
    assert strangers(tmp_path) == [] and folder.read("old") == b"1"


# ---- places that are found out before anything is trained


@pytest.mark.parametrize("place", ["runs", "runs/latest"])
@pytest.mark.parametrize("run", [(), ("--run", "elsewhere")])
def test_what_lies_in_the_place_of_the_pointer_is_found_before_training(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch, place: str, run: tuple[str, ...]
) -> None:
    monkeypatch.setattr("stackae.workflows.pretrain.load_data", lambda *arguments: pytest.fail("data were read"))
    path = fresh.folder / place
    path.parent.mkdir(exist_ok=True)
    if place == "runs":
        path.write_text("mine")
        says(fresh.refuses(2, *PRETRAIN, *run), "runs: expected the folder that holds runs, got a file; move it away")
    else:
        write(path, mine="mine")
        says(fresh.refuses(2, *PRETRAIN, *run), "runs/latest: expected a pointer to the newest run, got a folder; move")


def test_a_pointer_s_place_that_was_taken_is_found_before_a_run_is_gone_on_with(fresh: Shell) -> None:
    stop(fresh, *FIRST, "--epochs", "6")
    write(fresh.folder / LATEST, mine="mine")
    says(fresh.refuses(2, "resume", "runs/first"), "runs/latest: expected a pointer to the newest run, got a folder")
    shutil.rmtree(fresh.folder / LATEST)
    fresh.does("resume", "runs/first")
    assert fresh.run.name == "first"


def test_a_working_folder_that_cannot_be_written_is_said_and_the_run_is_made_elsewhere(
    fresh: Shell, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.access
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name not in ("", "runs") and real(path, mode))
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "a b"
    ended = fresh(*PRETRAIN, "--run", elsewhere)
    assert ended.code == 0 and Run(elsewhere).holds("layer1.safetensors")
    says(ended.err, f"runs/latest cannot be written, and will not point at this run: name it by --run '{elsewhere}'")
    assert not (fresh.folder / "runs").exists()


def test_a_sweep_s_folder_is_made_before_it_trains_and_goes_where_it_fails(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = fresh.folder / "swept"

    def failing(*arguments: object) -> None:
        assert out.is_dir()
        raise ConfigError("nothing")

    with monkeypatch.context() as patched:
        patched.setattr("stackae.workflows.sweeping._train", failing)
        fresh.refuses(2, *SWEEP, "--out", "swept")
    (fresh.folder / "file").write_text("mine")
    with monkeypatch.context() as patched:
        patched.setattr("stackae.workflows.sweeping._train", lambda *arguments: pytest.fail("it trained"))
        says(fresh.refuses(7, *SWEEP, "--out", "file/swept"), "file/swept: expected to write")
    out.mkdir()
    fresh.does(*SWEEP, "--out", "swept")
    assert (out / "sweep.json").exists()
    says(fresh.refuses(2, *SWEEP, "--out", "swept"), "--out: expected a new folder, got swept, which exists")


def test_a_place_that_is_free_is_free_however_often_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for force in (False, True):
        check_free(Path("runs/new"), force)
        check_free(None, force)
    assert not Path("runs").exists()
