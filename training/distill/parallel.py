"""Fit teachers in parallel: small networks leave most of a GPU idle, and there may be several GPUs."""

import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from typing import Any, Final, TypeVar

import structlog
import torch
from accelerate import PartialState
from tqdm import tqdm

from schemas.decisions import Floats
from training.data.examples import Examples
from training.distill.targets import Teacher, Teachers, learn_and_score
from training.learn.checkpoints import Checkpoints, save

log = structlog.get_logger(__name__)

_ON_A_GPU: Final = 4
_CORES_EACH: Final = 3

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

_shared: Any = None


def fit_teachers(
    sets: Sequence[Examples],
    english: Examples,
    teachers: Teachers,
    checkpoints: Checkpoints,
    state: PartialState,
) -> dict[Teacher, Floats]:
    """Fit the teachers that are not fitted yet, and return the scores of all.

    By torchrun, each process takes its share of them. What a signal cuts off is fitted again from its checkpoint, or
    where they learn in parallel, from its beginning.

    Args:
        sets: Sets to learn from.
        english: Originals to score.
        teachers: What the teachers share.
        checkpoints: Folder of their scores.
        state: Which of torchrun's processes this is.

    Returns:
        For each teacher the probabilities of its fold.
    """
    files = {teacher: checkpoints.file(f"teacher-{teacher.seed}-{teacher.fold}") for teacher in teachers.each()}
    mine = [teacher for teacher in files if not files[teacher].is_file()][state.process_index :: state.num_processes]
    at_once = teachers.teaching.side_by_side or _at_once(state.num_processes)
    bar = tqdm(total=len(mine), desc="teachers", disable=None if state.is_main_process else True, file=sys.stderr)
    with bar:
        # By torchrun in processes of their own too, or the Trainer would make one model of what each of us fits.
        if min(at_once, len(mine)) <= 1 and state.num_processes == 1:
            for teacher in mine:
                resumable = checkpoints.fit(files[teacher].stem)
                save(files[teacher], learn_and_score(sets, english, teachers, teacher, resumable))
                shutil.rmtree(resumable.folder, ignore_errors=True)
                bar.update()
        else:
            with closing(in_processes(_learn_and_score, mine, (sets, english, teachers), at_once)) as done:
                for teacher, scores in done:
                    save(files[teacher], scores)
                    bar.update()
                    log.info("a teacher is done", seed=teacher.seed, fold=teacher.fold)
    state.wait_for_everyone()
    return {teacher: checkpoints.load(file.stem) for teacher, file in files.items()}


def _at_once(processes: int) -> int:
    gpus = 1 if processes > 1 else torch.cuda.device_count()
    return max(1, min(_ON_A_GPU * gpus, (os.cpu_count() or 1) // _CORES_EACH)) if torch.cuda.is_available() else 1


def in_processes(
    function: Callable[[_Job, Any], _Result], jobs: Sequence[_Job], shared: Any, at_once: int
) -> Generator[tuple[_Job, _Result]]:
    """Yield each job with its result, as they are done, each in a process that sees one GPU.

    Args:
        function: of a module, since processes get it by name.
        jobs: values that tell the jobs apart.
        shared: a further argument of each call; each process gets it once.
        at_once: processes, spread over the GPUs.
    """
    others = multiprocessing.active_children()
    # Spawned, since a process that has used CUDA must not be forked.
    context = multiprocessing.get_context("spawn")
    devices = context.SimpleQueue()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(at) for at in range(torch.cuda.device_count())]
    for at in range(at_once):
        devices.put(names[at % len(names)] if names else "")
    with ProcessPoolExecutor(at_once, context, _begin, (devices, shared)) as pool:
        futures = {pool.submit(_call, function, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            # The pool would wait for what they are at.
            for child in set(multiprocessing.active_children()).difference(others):
                child.terminate()
            raise


def _begin(devices: Any, shared: Any) -> None:
    global _shared  # noqa: PLW0603 - a process of the pool gets its data once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C comes to all; the one that started us sees to our end.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tqdm.set_lock(threading.RLock())  # Its own lock is shared by processes, and outlives one that is terminated.
    os.environ["CUDA_VISIBLE_DEVICES"] = devices.get()
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)  # Each is alone, even where torchrun started us.
    torch.set_num_threads(_CORES_EACH)
    _shared = shared


def _end_with_parent() -> None:
    """Leave nothing running on the GPU where the one that started us was killed."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _call(function: Callable[[_Job, Any], _Result], job: _Job) -> _Result:
    return function(job, _shared)


def _learn_and_score(teacher: Teacher, shared: Any) -> Floats:
    sets, english, teachers = shared
    return learn_and_score(sets, english, teachers, teacher)
