"""Processes that train one network together, each with a share of every batch."""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import distributed, multiprocessing
from torch.multiprocessing.spawn import (
    ProcessContext,
    ProcessException,
    ProcessExitedException,
    start_processes,
)

from recsys.features.arrays import Array
from recsys.features.device import pick
from recsys.features.drafts import temporary_folder
from recsys.features.errors import SettingsError, TrainingError
from recsys.features.spawning import GUARD, end_with
from recsys.ranking.lists import TrainingLists
from recsys.ranking.spool import Spooled, room_on_disk

if TYPE_CHECKING:
    from recsys.ranking.checkpoint import Curve
    from recsys.ranking.network import ListNetwork
    from recsys.ranking.neural import NeuralRanker

_POLLED = 0.2  # seconds between two looks at how far the processes are


@dataclass(frozen=True)
class Processes:
    """The processes that train together, seen from one of them."""

    rank: int = 0
    size: int = 1

    def share(self, batch: Array) -> Array:
        """The lists of a batch (b,) that this process learns from."""
        return batch[self.rank :: self.size]

    def sum_gradients(self, network: "ListNetwork") -> None:
        """Give every process the sum of all gradients, so that all take the same step."""
        if self.size == 1:
            return
        parameters = list(network.parameters())
        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([each.flatten() for each in own])
        distributed.all_reduce(flat)
        parts = torch.split(flat, [each.numel() for each in own])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    def summed(self, value: float, device: torch.device) -> float:
        """The sum of what each process has of it."""
        if self.size == 1:
            return value
        total = torch.tensor(value, device=device)
        distributed.all_reduce(total)
        return total.item()

    def agreed(self, value: float, device: torch.device) -> float:
        """The mean of what each process has of it: unequal GPUs may round it differently, and
        whoever decides by it alone might stop while the others wait.
        """
        return self.summed(value, device) / self.size

    def draw_anew(self, seed: int, epoch: int) -> None:
        """What torch draws in this epoch hangs on the seed and the process, not on what went
        before: so that a training that resumes draws as one that was not stopped.
        """
        if self.size > 1:
            drawn = np.random.SeedSequence((seed, self.rank, epoch)).generate_state(1, np.uint64)
            torch.manual_seed(int(drawn[0]))


ALONE = Processes()
"""One process, which has the whole of every batch."""


def train_together(
    lists: TrainingLists, settings: "NeuralRanker", progress: Callable[[float], None] | None
) -> "tuple[ListNetwork, Curve, tuple[int, ...]]":
    """As `training.train`, by `settings.processes` spawned ones; on GPUs each has its own.

    They meet through a file and talk over this machine's own network alone. A step is that of one
    process but for the order in which sums are rounded, and for what dropout draws. Raises
    SettingsError where there are fewer GPUs than processes, TrainingError where one of them cannot
    be started or fails.
    """
    device = pick(settings.device)
    if device != "cpu" and torch.cuda.device_count() < settings.processes:
        raise SettingsError(
            f"ranker.processes must be at most the number of GPUs, {torch.cuda.device_count()}; "
            f"got {settings.processes}"
        )
    with temporary_folder() as folder:
        _write(lists, folder)
        _spawn(folder, settings, progress)
        about = json.loads((folder / "learnt.json").read_text())
        network: ListNetwork = settings.network(len(lists.names), len(about["heads"]))
        network.load_state_dict(load_file(folder / "learnt.safetensors"))
        return network.eval().to(device), about["curve"], tuple(about["heads"])


def _spawn(
    folder: Path, settings: "NeuralRanker", progress: Callable[[float], None] | None
) -> None:
    """Run the processes to their end."""
    done: Any = multiprocessing.get_context("spawn").SimpleQueue()
    processes: list[Any] = []
    try:
        running = _started(processes, folder, settings, done)
        finished = False
        while not finished:
            finished = running.join(_POLLED)
            while not done.empty():
                share = done.get()
                if progress:
                    progress(share)
    except ProcessException as error:
        why = _reasons(folder, processes) or _ending(error)
        raise TrainingError(f"a process that trains the ranker failed: {why}") from error
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
            process.join()  # or it might write into a folder that is being removed


def _started(
    processes: list[Any], folder: Path, settings: "NeuralRanker", done: Any
) -> ProcessContext:
    """Start them one by one and add each to `processes`.

    Where one cannot be started those before it wait for it: the caller ends them.
    """
    files: list[str] = []
    for rank in range(settings.processes):
        try:
            one = start_processes(  # type: ignore[no-untyped-call]
                _worker, (os.getpid(), rank, folder, replace(settings), done), join=False
            )
        except OSError as error:
            raise TrainingError(
                f"process {rank} of {settings.processes} that train the ranker cannot be started: "
                f"{error}"
            ) from error
        processes += one.processes
        files += one.error_files
    return ProcessContext(processes, files)  # type: ignore[no-untyped-call]


def _reasons(folder: Path, processes: list[Any]) -> str:
    """What processes failed of, the first of it first.

    Of one that ends, others only say that its connection is closed; one that is killed says nothing
    and so has no time: it goes before them.
    """
    killed = [
        f"{_signal(-process.exitcode)} ended process {rank}"
        for rank, process in enumerate(processes)
        if process.exitcode < 0 and process.exitcode != -signal.SIGTERM  # which ends the others
    ]
    files = sorted(folder.glob("failed-*.txt"), key=lambda path: path.stat().st_mtime_ns)
    return "; ".join(dict.fromkeys([*killed, *(path.read_text() for path in files)]))


def _signal(number: int) -> str:
    """A signal's name; real-time ones between the first and the last have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _ending(error: ProcessException) -> str:
    """How a process ended that said nothing."""
    last = str(error).strip().splitlines()[-1]
    by_itself = isinstance(error, ProcessExitedException) and error.signal_name is None
    return f"{last}; {GUARD}" if by_itself else last


def _worker(
    _: int, parent: int, rank: int, folder: Path, settings: "NeuralRanker", done: Any
) -> None:
    """One of the processes, started alone; leaves a file with why where it fails."""
    end_with(parent)
    try:
        _train_share(rank, folder, settings, done)
    except Exception as error:
        (folder / f"failed-{rank}.txt").write_text(f"{type(error).__name__}: {error}")
        raise


def _train_share(rank: int, folder: Path, settings: "NeuralRanker", done: Any) -> None:
    """What one of the processes does; the first writes what all have learnt."""
    from recsys.ranking.training import train

    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    on_gpu = pick(settings.device) != "cpu"
    if on_gpu:
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(1)  # as in a fit by one process: a step is small
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=(folder / "meeting").absolute().as_uri(),
        rank=rank,
        world_size=settings.processes,
    )
    try:
        torch.manual_seed(settings.seed)
        group = Processes(rank, settings.processes)
        network, curve, heads = train(
            _read(folder), settings, None if rank else done.put, group=group
        )
        if rank == 0:
            weights = {name: value.cpu() for name, value in network.state_dict().items()}
            save_file(weights, folder / "learnt.safetensors")
            (folder / "learnt.json").write_text(json.dumps({"curve": curve, "heads": heads}))
    finally:
        distributed.destroy_process_group()


@room_on_disk()
def _write(lists: TrainingLists, folder: Path) -> None:
    """Arrays as files of their own, the rest as JSON."""
    about = {}
    for field in fields(lists):
        value = getattr(lists, field.name)
        if isinstance(value, np.ndarray):
            np.save(folder / f"{field.name}.npy", value)
        elif isinstance(value, Spooled):
            _save(folder / f"{field.name}.npy", lists)
        else:
            about[field.name] = value
    (folder / "lists.json").write_text(json.dumps(about))


def _save(path: Path, lists: TrainingLists) -> None:
    """Write features as `np.save` does, without having all of them at once.

    A file that is mapped instead would end the process where the disk is full.
    """
    about = {"descr": "<f4", "fortran_order": False, "shape": lists.features.shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, about)
        for some in lists.stretches():
            file.write(lists.features[some].data)


def _read(folder: Path) -> TrainingLists:
    """What `_write` wrote; the arrays are mapped, so that processes share them."""
    about = json.loads((folder / "lists.json").read_text())
    arrays = {path.stem: np.load(path, mmap_mode="c") for path in folder.glob("*.npy")}
    about |= {name: tuple(about[name]) for name in ("names", "events")}
    return TrainingLists(**arrays, **about)
