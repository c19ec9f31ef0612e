"""Every loader against damaged, forged and lying files: what was written, or one short error of the library's own."""

from __future__ import annotations

import copy
import io
import json
import os
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

import agents
import pl_env
from pl_env.files import content_hash
from pl_env.real_models.checkpoints import read_checkpoint
from pl_env.systems import FIRST, SYSTEMS, face, system_of
from tests.fuzz.running import Tally, shortened

FILES = 25
"""Damaged files in a round."""
LONGEST_MESSAGE = 300
MEMORY = 1 << 30
"""Bytes of address space that a loader may take besides what is in use; the files need a thousandth of it."""

Content = bytes | dict[str, bytes]
"""A file, or a folder of files by name."""


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        load: From a path to what it holds.
        facts: All that a loaded thing says; must be what was written where a hash protects the file.
        sound: What is wrong with what was loaded from a file without a hash, or with a forged one; None if nothing.
        suffix: Of the file's name.
    """

    load: Callable[[Path], Any]
    facts: Callable[[Any], Any] | None = None
    sound: Callable[[Any, Content], str | None] | None = None
    suffix: str = ".npz"


def play(random: Random, tally: Tally) -> None:
    """Damage some files, one after the other."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for _ in range(FILES):
            name, damage = random.choice(list(KINDS)), random.choice(list(DAMAGE))
            label, case = f"{damage} {name}", Random(random.random())  # what is left out changes nothing of the rest
            if {damage, name, label} & tally.without:
                continue
            content = DAMAGE[damage](case, name)
            if content is not None:
                with tally.case(label):
                    hold(name, content, label, Path(folder) / f"it{KINDS[name].suffix}", tally)


def hold(name: str, content: Content, label: str, path: Path, tally: Tally) -> None:
    """Load one file, and judge what comes of it."""
    kind = KINDS[name]
    expected = facts_of(name)
    write(path, content)
    before = listing(path.parent)
    tally.count("files")
    tally.count(f"kind: {label}")
    try:
        with memory_limit():
            found = kind.load(path)
    except pl_env.PlEnvError as error:
        tally.count("refused")
        if len(str(error)) >= LONGEST_MESSAGE:
            tally.fail(f"{label}: a message of {len(str(error))} characters: {shortened(str(error), 100)!r}")
    else:
        tally.count("loaded")
        wrong = kind.sound(found, content) if kind.sound else None
        if kind.facts is not None and not label.startswith("forged") and kind.facts(found) != expected:
            wrong = "the content is another one"
        if wrong:
            tally.fail(f"{label}: {wrong}")
    if listing(path.parent) != before:
        tally.fail(f"{label}: the loader left or changed files: {sorted(listing(path.parent))}")


def write(path: Path, content: Content) -> None:
    """Write a file or a folder in place of what is there."""
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    path.mkdir(exist_ok=True)
    for old in path.iterdir():
        old.unlink()
    for name, part in content.items():
        (path / name).write_bytes(part)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of the last change of every file below a folder."""
    states = {str(file): file.stat() for file in folder.rglob("*")}
    return {name: (state.st_size, state.st_mtime_ns) for name, state in states.items()}


@contextmanager
def memory_limit() -> Iterator[None]:
    """No more address space than is taken now, and `MEMORY`; where the system says how much is taken."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    import resource  # not on every system

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


# ---------------------------------------------------------------- whole files


def arrays_of(thing: Any) -> Any:
    """All that an npz file says."""
    return thing.content_hash()


def server_objection(server: pl_env.EdgeServer, content: Content) -> str | None:
    """A server's file has no hash: what is loaded must be what the text says, where it says anything."""
    assert isinstance(content, bytes)
    said, found = json.loads(content)["server"], json.loads(json.dumps(asdict(server)))
    return None if found | said == found else f"{server} out of {said}"


def checkpoint_objection(checkpoint: Any, content: Content) -> str | None:
    """A safetensors file has no hash either: its tensors must lie in it."""
    assert isinstance(content, bytes)
    fits = all(tensor.offset + tensor.n_bytes <= len(content) for tensor in checkpoint.tensors)
    return None if fits else "tensors beyond the end of the file"


def benchmark_objection(benchmark: pl_env.BenchmarkSet, content: Content) -> str | None:
    """A set must not claim more than its instances allow, whoever wrote it."""
    if not isinstance(benchmark.name, str):
        return f"its name is {benchmark.name!r}"
    for n, instance in enumerate(benchmark.instances):
        models, counts = benchmark.runs(n)
        if any(not 0 <= model < instance.n_models for model in models.tolist()) or any(k < 0 for k in counts.tolist()):
            return f"instance {n} has runs {models}, {counts}"
        if not sum(counts.tolist()) <= int(benchmark.upper_bound[n]) <= instance.n_users:
            return (
                f"instance {n} has {counts} users served, a bound {benchmark.upper_bound[n]}, {instance.n_users} users"
            )
    return None


def claims_objection(benchmark: Any, content: Content) -> str | None:
    """A set of any system must not claim what its bounds exclude; its plans are plans, or refused in one sentence."""
    for n in range(len(benchmark)):
        try:
            plan = benchmark.plan(n)
            face(system_of(plan)).check(plan, benchmark.instances[n])
        except pl_env.PlEnvError:  # forged: the validator says what is wrong with it
            continue
        if plan.status == "optimal" and plan.bound != plan.objective:
            return f"instance {n} is optimal at {plan.objective} with a bound of {plan.bound}"
    return None


def agent_facts(agent: agents.Agent) -> Any:
    """Weights, network and memories of an agent."""
    weights = {name: tensor.numpy().tobytes() for name, tensor in agent.network.state_dict().items()}
    return weights, repr(agent.network.config), agent.trained_on


KINDS: dict[str, Kind] = {
    "instance": Kind(lambda path: pl_env.Instance.load(path), arrays_of),
    "library": Kind(lambda path: pl_env.ModelLibrary.load(path), arrays_of),
    "benchmark set": Kind(lambda path: pl_env.BenchmarkSet.load(path), arrays_of, benchmark_objection),
    "server": Kind(lambda path: pl_env.EdgeServer.load(path), sound=server_objection, suffix=".json"),
    "safetensors": Kind(read_checkpoint, sound=checkpoint_objection, suffix=".safetensors"),
    "pt": Kind(read_checkpoint, suffix=".pt"),
    "pth": Kind(read_checkpoint, suffix=".pth"),
    "agent": Kind(lambda path: agents.load(path), agent_facts, suffix=""),
}
for _system in (system for system in SYSTEMS if system != FIRST):
    KINDS[f"{_system} instance"] = Kind(face(_system).Instance.load, arrays_of)
    KINDS[f"{_system} benchmark set"] = Kind(face(_system).BenchmarkSet.load, arrays_of, claims_objection)
NPZ = tuple(name for name in KINDS if name.endswith(("instance", "library", "benchmark set")))


@cache
def whole(name: str) -> Content:
    """A file of a kind, without damage; the same bytes in every process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"whole{KINDS[name].suffix}"
        MAKERS[name](path)
        if path.is_dir():
            return {file.name: file.read_bytes() for file in sorted(path.iterdir())}
        return archive_of(members_of(path.read_bytes())) if name in NPZ else path.read_bytes()


@cache
def facts_of(name: str) -> Any:
    """What the undamaged file holds; loading it also compiles what loading needs."""
    kind = KINDS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"whole{kind.suffix}"
        write(path, whole(name))
        return kind.facts(kind.load(path)) if kind.facts else kind.load(path)


def members_of(content: Content) -> dict[str, bytes]:
    """The members of an archive."""
    assert isinstance(content, bytes)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(members: Mapping[str, bytes]) -> bytes:
    """An archive whose members all carry the same date, so that a seed repeats."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def tensors() -> dict[str, torch.Tensor]:
    """A small state dict."""
    generator = torch.Generator().manual_seed(0)
    return {f"{n}.weight": torch.randn((8, 40 + n), generator=generator) for n in range(4)} | {
        "0.bias": torch.zeros(8, dtype=torch.float16),
        "steps": torch.tensor(3),
    }


def make_instance(path: Path) -> None:
    pl_env.Scenario.preset("bls", n_models=4, n_users=12).sample(np.random.default_rng(0)).save(path)


def make_library(path: Path) -> None:
    pl_env.build_library("bls", 6, ("resnet18", "resnet34"), 0.85, 0.15, np.random.default_rng(0)).save(path)


def make_benchmark(path: Path) -> None:
    scenario = pl_env.Scenario.preset("bls", n_models=4, n_users=12)
    instances = tuple(scenario.sample(np.random.default_rng(n)) for n in range(3))
    runs = np.array([2, 1, 1])
    pl_env.BenchmarkSet(
        "a set", scenario, 0, instances, np.array([12] * 3), np.arange(4), np.array([0, 1, 2]), runs, {"solver": "none"}
    ).save(path)


def make_agent(path: Path) -> None:
    agents.load("bls").save(path)


def make_of_a_system(system: str, what: str, path: Path) -> None:
    """An instance of its tiny preset, or its first benchmark set."""
    module = face(system)
    if what == "instance":
        module.Scenario.preset("tiny").sample(np.random.default_rng(0)).save(path)
    else:
        module.benchmark(module.benchmark_names()[0]).save(path)


MAKERS: Mapping[str, Callable[[Path], Any]] = {
    "instance": make_instance,
    "library": make_library,
    "benchmark set": make_benchmark,
    "server": lambda path: pl_env.EdgeServer().save(path),
    "safetensors": lambda path: save_file(tensors(), path, metadata={"architecture": "toy"}),
    "pt": lambda path: torch.save(tensors(), path),
    "pth": lambda path: torch.save({"state_dict": tensors(), "epoch": 3}, path),
    "agent": make_agent,
} | {name: partial(make_of_a_system, *name.split(" ", 1)) for name in NPZ if name.split(" ")[0] in SYSTEMS}


# ---------------------------------------------------------------- damage


def damaged(random: Random, content: bytes) -> bytes:
    """Some bytes flipped, overwritten, lost, doubled, moved, or taken from another file."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        # Directories lie at the end of archives, headers at the start: half of the damage is there.
        near = random.choice((len(data), len(data), 400))
        at = min(random.randrange(near + 1), len(data))
        at = len(data) - at if random.random() < 0.5 else at
        end = min(len(data), at + random.choice((1, 4, 8, 50, 1000)))
        how = random.randrange(8)
        if how == 0 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        elif how == 1:
            data[at:end] = random.randbytes(end - at)
        elif how == 2:
            data[at:end] = bytes([random.choice((0, 255))]) * (end - at)
        elif how == 3:
            del data[at:end]
        elif how == 4:
            data[at:at] = data[at:end]
        elif how == 5:
            del data[at:]
        elif how == 6:
            other = random.choice(list(KINDS))
            source = whole(other)
            piece = source if isinstance(source, bytes) else random.choice(list(source.values()))
            begin = random.randrange(len(piece))
            data[at:end] = piece[begin : begin + end - at]
        else:
            data += random.randbytes(random.choice((1, 30, 2000)))
    return bytes(data)


def bytes_damage(random: Random, name: str) -> Content:
    """Random damage of bytes; of one file of a folder, which may also be lost."""
    content = whole(name)
    if isinstance(content, bytes):
        return damaged(random, content)
    part = random.choice(list(content))
    if random.random() < 0.05:
        return {other: data for other, data in content.items() if other != part}
    return content | {part: damaged(random, content[part])}


HOSTILE: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 1.5, 2**40, 2**62, 2**63, 10**400, float("nan"), float("inf"), -1e308,
    "", "a", "\x00", "\ud800", "x" * 5000, [], {}, [[]], {"a": 1},
)  # fmt: skip
"""What a value of a JSON text may be replaced by."""


def replaced(random: Random, value: Any) -> Any:
    """A JSON value with one of its parts replaced, dropped, renamed or wrapped."""
    value = copy.deepcopy(value)
    holders = [value]
    for holder in holders:  # grows while it is walked
        children = holder.values() if isinstance(holder, dict) else holder
        holders += [child for child in children if isinstance(child, (dict, list)) and child]
    holder = random.choice(holders)
    key = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    how = random.random()
    if how < 0.7:
        holder[key] = copy.deepcopy(random.choice(HOSTILE))
    elif how < 0.8:
        del holder[key]
    elif how < 0.9 and isinstance(holder, dict):
        holder[random.choice(("", "a", "x" * 1000, "format"))] = holder.pop(key)
    else:
        holder[key] = [holder[key]]
    return value


def deep(random: Random) -> bytes:
    """JSON nested beyond what a parser's stack holds, or numbers beyond all bounds."""
    depth = random.choice((1000, 100_000))
    return random.choice((b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth, b"9" * 5000, b"1e9999"))


def json_damage(random: Random, name: str) -> Content | None:
    """One value of a JSON text replaced, without a hash that would tell."""
    content = whole(name)
    if name == "agent":
        assert isinstance(content, dict)
        return content | {"checkpoint.json": hostile_json(random, content["checkpoint.json"])}
    assert isinstance(content, bytes)
    if name == "server":
        return hostile_json(random, content)
    if name == "safetensors":
        length = struct.unpack("<Q", content[:8])[0]
        text = hostile_json(random, content[8 : 8 + length])
        return struct.pack("<Q", len(text)) + text + content[8 + length :]
    return None


def hostile_json(random: Random, text: bytes) -> bytes:
    """One value of a JSON text replaced, now and then by what no parser likes."""
    value = replaced(random, json.loads(text))
    if random.random() < 0.9:
        return json.dumps(value).encode()
    assert isinstance(value, dict)
    return json.dumps(value | {"deep": "DEEP"}).encode().replace(b'"DEEP"', deep(random))


def forged(random: Random, name: str) -> Content | None:
    """An npz file that says something else, its hash made right."""
    if name not in NPZ:
        return None
    arrays = {member: np.load(io.BytesIO(data)) for member, data in members_of(whole(name)).items()}
    full = json.loads(arrays.pop("header.npy").tobytes())
    if random.random() < 0.5:
        full["content"] = replaced(random, full["content"])
    else:
        key = random.choice(list(arrays))
        arrays[key] = hostile_array(random, arrays[key])
    full["hash"] = content_hash(full["content"], {key.removesuffix(".npy"): array for key, array in arrays.items()})
    arrays["header.npy"] = np.frombuffer(json.dumps(full).encode(), dtype=np.uint8)
    members = {}
    for key, array in arrays.items():
        stream = io.BytesIO()
        np.save(stream, array)
        members[key] = stream.getvalue()
    return archive_of(members)


def hostile_array(random: Random, array: np.ndarray) -> np.ndarray:
    """Another value, length, number of dimensions or dtype."""
    how = random.randrange(6)
    if how == 0 and array.size:
        changed = array.astype(np.int64) if array.dtype.kind in "bu" else array.copy()
        changed.reshape(-1)[random.randrange(array.size)] = random.choice((-1, 2**40, 2**62, -(2**63)))
        return changed
    if how == 1:
        return array[: random.randrange(len(array) + 1)] if array.ndim else array.reshape(1)
    if how == 2:
        return np.concatenate([array, array]) if array.ndim else array[None]
    if how == 3:
        return array[None]
    if how == 4:
        with np.errstate(over="ignore", invalid="ignore"):
            return array.astype(random.choice(("f8", "i1", "u8", "?", "c16", ">i8", "f2", "U5", "S3")))
    return np.full(array.shape, np.nan)


def lying(random: Random, name: str) -> Content | None:
    """An npz file one of whose arrays claims to be larger than it is, or of another kind."""
    if name not in NPZ:
        return None
    members = members_of(whole(name))
    chosen = random.choice(list(members))
    shape = random.choice(((2**40,), (2**62, 2), (-1,), (2**20, 2**20, 2**20, 2**20), (10**30,)))
    description = random.choice(("<i8", "|O", "|b1", "<U99999999", "|V9", "no"))
    stream = io.BytesIO()
    header = {"descr": description, "fortran_order": random.random() < 0.5, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return archive_of(members | {chosen: stream.getvalue() + members[chosen][-64:]})


@cache
def bomb() -> bytes:
    """An archive of a megabyte that inflates to more than a loader may take."""
    target, piece, pieces = io.BytesIO(), bytes(1 << 26), 20
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in members_of(whole("library")).items():
            archive.writestr(zipfile.ZipInfo(name), data)
        zeros = zipfile.ZipInfo("zeros.npy")
        zeros.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(zeros, "w", force_zip64=True) as stream:
            description = {"descr": "|u1", "fortran_order": False, "shape": (pieces * len(piece),)}
            np.lib.format.write_array_header_1_0(stream, description)
            for _ in range(pieces):
                stream.write(piece)
    return target.getvalue()


def odd_tensors(random: Random, name: str) -> Content | None:
    """A PyTorch file of tensors or other things that are no dense state dict, or take more than they hold."""
    if name not in ("pt", "pth"):
        return None
    odd = random.choice(
        (
            lambda: torch.zeros(1).expand(2 ** random.choice((3, 20, 32, 40, 60))),
            lambda: torch.zeros(3, 2, device="meta"),
            lambda: torch.zeros(3, dtype=torch.complex64).conj(),
            lambda: torch.zeros(3, dtype=torch.complex64).conj().imag,
            lambda: torch.eye(3).to_sparse(),
            lambda: torch.zeros(4, 4).t(),
            lambda: torch.zeros(0),
            lambda: torch.zeros(10)[3:5],
            lambda: torch.nn.Parameter(torch.zeros(2)),
            lambda: torch.zeros(2, dtype=torch.complex128),
            lambda: 3,
            lambda: {"a": {"a": {}}},
            lambda: None,
        )
    )()
    content = random.choice(
        (
            lambda: tensors() | {"odd": odd},
            lambda: {"odd": odd},
            lambda: odd,
            lambda: {"state_dict": {"odd": odd}},
            lambda: {3: odd},
            lambda: {"\ud800": torch.zeros(2)},
            lambda: {"x" * 5000: odd},
        )
    )()
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=random.random() < 0.95)
    return stream.getvalue()


DAMAGE: dict[str, Callable[[Random, str], Content | None]] = {
    "bytes": bytes_damage,
    "json": json_damage,
    "forged": forged,
    "lying": lying,
    "odd tensors": odd_tensors,
    "bomb": lambda random, name: bomb() if name in NPZ and random.random() < 0.05 else None,
}
