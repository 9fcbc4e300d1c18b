"""Checkpoints, honest and hostile: what is read, what is refused, that nothing runs and no memory fills up."""

import argparse
import collections
import io
import json
import os
import pickle
import re
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import SMALL, feed, network
from safetensors.torch import save_file
from torch import nn

from verify import archives, checkpoint
from verify.layouts import LAYOUTS, constants_of, recognise

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2, dtype=torch.float64)}
NUMPY = {name: a.numpy() for name, a in STATE.items()}


def refused(path, message, **kwargs):
    """One error, of one line, that names the file."""
    with pytest.raises(ValueError, match=message) as caught:
        checkpoint.read(path, **kwargs)
    assert "\n" not in str(caught.value)
    assert Path(path).name in str(caught.value)


def saved(path, value):
    torch.save(value, path)
    return path


def same(found, expected):
    assert set(found) == set(expected)
    for name, a in expected.items():
        assert torch.equal(found[name], torch.as_tensor(a))
        assert found[name].dtype == torch.as_tensor(a).dtype
        assert not found[name].requires_grad


# --- what is read --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".tar", ".safetensors", ".npz", "-compressed.npz"])
def test_every_kind_of_file_is_read(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    if suffix == ".safetensors":
        save_file(STATE, path)
    elif suffix == ".npz":
        np.savez(path, **NUMPY)
    elif suffix == "-compressed.npz":
        np.savez_compressed(path, **NUMPY)
    else:
        saved(path, STATE)
    said = []
    same(checkpoint.read(path, say=said.append), STATE)
    same(checkpoint.read(str(path)), STATE)
    assert not said


def test_a_single_array_has_the_name_of_its_file(tmp_path):
    np.save(tmp_path / "U.npy", np.ones((2, 3), dtype=">f4"))
    same(checkpoint.read(tmp_path / "U.npy"), {"U": np.ones((2, 3), dtype=np.float32)})


def test_torch_files_of_the_old_format_are_read(tmp_path):
    torch.save(STATE, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    same(checkpoint.read(tmp_path / "old.pt"), STATE)


def test_torch_files_are_mapped_and_not_read(tmp_path):
    """A file of 300 MB in a process whose own memory hardly grows."""
    path = saved(tmp_path / "large.pt", {"w": torch.ones(75_000_000)})
    code = f"""
from verify import checkpoint
import torch
own = lambda: int(open("/proc/self/status").read().split("RssAnon:")[1].split()[0]) * 1024
torch.aminmax(torch.ones(10))
before = own()
state = checkpoint.read({str(path)!r})
print(own() - before, state["w"].sum().item())
"""
    grown, total = map(float, inside(code).split())
    assert total == 75_000_000
    assert grown < 30_000_000


def inside(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64, torch.complex128])
def test_other_floats_keep_their_dtype(tmp_path, dtype):
    same(
        checkpoint.read(saved(tmp_path / "x.pt", {"w": torch.ones(3, 2, dtype=dtype)})),
        {"w": torch.ones(3, 2, dtype=dtype)},
    )


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_every_network_comes_back_from_its_checkpoint(tmp_path, name, suffix):
    model = network(name)
    state = {key: a.to(torch.complex64) if a.is_complex() else a for key, a in model.state_dict().items()}
    path = tmp_path / f"x{suffix}"
    if suffix == ".pt":
        torch.save(state, path)
    else:
        save_file({key: a.clone().contiguous() for key, a in state.items()}, path)
    read = checkpoint.read(path)
    same(read, state)
    found = recognise(read)
    assert found is LAYOUTS[name]
    if not any(a.is_complex() for a in state.values()):  # which safetensors has in single precision alone
        with torch.no_grad():
            built = found.build(read, **constants_of(model)).eval()
            torch.testing.assert_close(built(feed(name)), model(feed(name)))  # memory is aligned otherwise


@pytest.mark.parametrize(
    ("wrapped", "sentences"),
    [
        ({"state_dict": STATE, "epoch": 3}, ["holds its state dict under 'state_dict', beside 'epoch'"]),
        ({"model": STATE, "args": argparse.Namespace(lr=1.0)}, ["under 'model', beside 'args'"]),
        ({"model_state_dict": STATE}, ["under 'model_state_dict', beside nothing"]),
        ({"model": {"state_dict": STATE}}, ["under 'model'", "under 'state_dict'"]),
        ({f"module.{name}": a for name, a in STATE.items()}, ["begin with 'module.', which is taken off"]),
        ({f"_orig_mod.module.{name}": a for name, a in STATE.items()}, ["'_orig_mod.'", "'module.'"]),
        ({"model": {f"module.{name}": a for name, a in STATE.items()}}, ["under 'model'", "begin with 'module.'"]),
        (collections.OrderedDict((name, nn.Parameter(a)) for name, a in STATE.items()), []),
        (STATE | {"bn.num_batches_tracked": torch.tensor(3)}, ["'bn.num_batches_tracked' is int64 and no weight"]),
        (STATE | {"h.0.attn.bias": torch.ones(2, 2, dtype=torch.bool)}, ["'h.0.attn.bias' is bool and no weight"]),
    ],
)
def test_wrappers_are_taken_off_and_said(tmp_path, wrapped, sentences):
    said = []
    same(checkpoint.read(saved(tmp_path / "x.pt", wrapped), say=said.append), STATE)
    assert len(said) == len(sentences)
    for sentence, part in zip(said, sentences, strict=True):
        assert part in sentence


def test_parameters_of_jax_are_taken_from_beside_the_optimiser(tmp_path):
    np.savez(tmp_path / "x.npz", **{"params/a": np.ones(2), "opt/a": np.zeros(2)})
    said = []
    assert set(checkpoint.read(tmp_path / "x.npz", say=said.append)) == {"params/a"}
    assert "the 1 others are left out" in said[0]


# --- what executes -------------------------------------------------------------------------------------------------


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("form", ["torch", "old", "pickle", "npz", "npy", "nested"])
def test_a_pickle_bomb_is_refused_and_nothing_runs(tmp_path, form):
    mark = tmp_path / "ran"
    bomb = {"w": torch.ones(2), "x": Bomb(mark)}
    path = tmp_path / {"npz": "x.npz", "npy": "x.npy"}.get(form, "x.pt")
    if form == "torch":
        torch.save(bomb, path)
    elif form == "old":
        torch.save(bomb, path, _use_new_zipfile_serialization=False)
    elif form == "pickle":
        path.write_bytes(pickle.dumps(bomb))
    elif form == "nested":
        torch.save({"state_dict": {"model": [bomb]}}, path)
    elif form == "npz":
        np.savez(path, x=np.array([Bomb(mark)], dtype=object))
    else:
        np.save(path, np.array([Bomb(mark)], dtype=object))
    by_form = {"pickle": "must be a whole .pt file, got x.pt: Unsupported operand"}
    by_form |= dict.fromkeys(("npz", "npy"), "x.npy holds pickled objects, which srr does not load")
    message = by_form.get(form, "must hold tensors alone, got x.pt with (posix|os).system, which srr does not load")
    refused(path, message)
    assert not mark.exists()
    try:  # the payload is live: the unguarded way runs it
        if form in ("torch", "old", "nested"):
            torch.load(path, weights_only=False)
        elif form == "pickle":
            pickle.loads(path.read_bytes())
        else:
            loaded = np.load(path, allow_pickle=True)
            loaded = loaded["x"] if form == "npz" else loaded
    finally:
        assert mark.exists()


def test_a_namespace_of_arguments_runs_nothing(tmp_path):
    """It is let through as a plain record; what hides in its fields is not."""
    mark = tmp_path / "ran"
    refused(
        saved(tmp_path / "x.pt", {"model": STATE, "args": argparse.Namespace(x=Bomb(mark))}),
        "must hold tensors alone, got x.pt with (posix|os).system",
    )
    assert not mark.exists()


# --- what is broken ------------------------------------------------------------------------------------------------


def test_a_path_that_is_no_file_is_refused(tmp_path, monkeypatch):
    refused(tmp_path / "none.pt", "checkpoint must be a file that exists, got ")
    (tmp_path / "dir.pt").mkdir()
    refused(tmp_path / "dir.pt", "checkpoint must be a file, got the directory ")
    refused(tmp_path / "x.txt", "checkpoint must be a file .pt, .pth, ")
    os.mkfifo(tmp_path / "pipe.pt")
    refused(tmp_path / "pipe.pt", "checkpoint must be a regular file, got ")
    path = saved(tmp_path / "secret.pt", STATE)

    def denied(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", denied)
    refused(path, "checkpoint must be a file that may be read, got .*: Permission denied")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".npz", ".npy"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    path = tmp_path / f"x{suffix}"
    if suffix == ".pt":
        torch.save(STATE | {"c": torch.ones(1000)}, path)
    elif suffix == ".safetensors":
        save_file(STATE | {"c": torch.ones(1000)}, path)
    elif suffix == ".npz":
        np.savez(path, **NUMPY, c=np.ones(1000))
    else:
        np.save(path, np.ones(1000))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, f"checkpoint must be a whole {suffix} file, got x{suffix}: ")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".npz", ".npy"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"not at all" * 50, b"PK\x03\x04" + b"\x01" * 100])
def test_a_file_of_another_kind_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    refused(path, f"checkpoint must be a whole {suffix} file, got x{suffix}: .")


# --- what is absurd ------------------------------------------------------------------------------------------------


def safetensors(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(shape, start, stop, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"w": entry([10**15], 0, 8)}, r"'w' claims shape \(1000000000000000,\), 4,000,000,000,000,000 bytes, and has"),
        ({"w": entry([10**15], 0, 4 * 10**15)}, "'w' claims shape .* and has bytes 0 to 4,000,000,000,000,000 of 8"),
        ({"w": entry([2**40, 2**40], 0, 8)}, "'w' claims shape"),
        ({"w": entry([-2], 0, -8)}, "'w' claims shape"),
        ({"w": entry([2], 4, 12)}, "'w' claims shape"),
        ({"w": entry([2], 0, 8, "F99")}, "'w' has no known dtype, shape and place"),
        ({"w": 3}, "'w' has no known dtype, shape and place"),
        ([1], "its header is no table of tensors"),
        (b'{"w":' + b"[" * 100_000, "its header is nested too deeply"),
        (
            b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
            "it holds 'w' 2 times",
        ),
    ],
)
def test_absurd_headers_of_safetensors_are_refused(tmp_path, header, message):
    path = safetensors(tmp_path / "x.safetensors", header, bytes(8))
    refused(path, f"checkpoint must be a whole .safetensors file, got x.safetensors: {message}")


def test_a_header_longer_than_its_file_is_refused(tmp_path):
    refused(
        safetensors(tmp_path / "x.safetensors", {}, length=2**63), "claims a header of 9,223,372,036,854,775,808 bytes"
    )


def zip_of(path, entries, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def npy_bytes(header, data=b""):
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    """100 MB of zeros in 100 kB; of a tenth of that memory it takes nothing."""
    header = npy_bytes("{'descr': '<f8', 'fortran_order': False, 'shape': (12500000,)}")
    path = zip_of(tmp_path / "x.npz", [("w.npy", header + bytes(100_000_000))])
    assert path.stat().st_size < 200_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, "it unpacks to 100,000,128 bytes, more than 16 times its ")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000
    assert np.load(path)["w"].nbytes == 100_000_000  # a bomb it is


def test_torch_archives_that_are_compressed_are_refused(tmp_path):
    """Torch stores its tensors as they are: one that shrinks is not from it."""
    plain = saved(tmp_path / "plain.pt", {"w": torch.zeros(1_000_000)})
    with zipfile.ZipFile(plain) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    refused(zip_of(tmp_path / "x.pt", entries), "it unpacks to 4,00.,... bytes, more than 1 times its ")


def test_a_pickle_of_empty_things_is_not_unpickled(tmp_path):
    """Each byte of it is a dictionary of 64: a hundred million of them would be 6 GB."""
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02(" + b"}" * 100_000_000 + b"l.")
        archive.writestr("x/version", b"3")
    refused(path, "it holds a pickle of 100,000,005 bytes, beside its tensors")
    refused(safetensors(tmp_path / "x.safetensors", b"{" + b" " * 2**25 + b"}"), "claims a header of 33,554,434 bytes")


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_arrays_that_claim_what_they_have_not_are_refused(tmp_path, suffix):
    content = npy_bytes("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,)}", bytes(16))
    path = tmp_path / f"x{suffix}"
    if suffix == ".npz":
        zip_of(path, [("w.npy", content)])
    else:
        path.write_bytes(content)
    refused(path, r"npy claims shape \(1000000000000000,\) of float64, 8,000,000,000,000,000 bytes, and has 16")


def test_the_same_name_twice_is_refused(tmp_path):
    content = io.BytesIO()
    np.save(content, np.ones(2))
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zip_of(tmp_path / "x.npz", [("w.npy", content.getvalue())] * 2)
    refused(path, "it holds 'w.npy' 2 times")
    refused(
        saved(tmp_path / "x.pt", {"w": torch.ones(2), "module.w": torch.ones(2)}),
        "each name once, got 'w' and 'module.w'",
    )


def test_tensors_larger_than_what_is_stored_are_refused(tmp_path):
    """A thousand million million numbers, one of them stored."""
    refused(
        saved(tmp_path / "x.pt", {"w": torch.ones(1).expand(10**15)}),
        r"'w' in x.pt must be no larger than what is stored",
    )
    one = torch.ones(2**18)
    many = {f"w{i}": one.view(2**18) for i in range(40)}
    refused(saved(tmp_path / "y.pt", many), "'w.*' in y.pt must be no larger than what is stored")


def test_an_old_torch_file_that_claims_an_absurd_storage_is_refused(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"w": torch.ones(1000)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    claimed = content.replace(b"M\xe8\x03", b"\x8a\x07" + (10**15).to_bytes(7, "little"))
    assert claimed != content
    path.write_bytes(claimed)
    refused(path, "checkpoint must be a whole .pt file, got x.pt: .")


# --- what is no weight ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.tensor([[1.0, float("nan")]]), r"'w' in x.pt must be finite, got nan at \(0, 1\)"),
        (torch.tensor([[1.0], [float("-inf")]]), r"'w' in x.pt must be finite, got -inf at \(1, 0\)"),
        (torch.tensor(float("inf")), r"'w' in x.pt must be finite, got inf at \(\)"),
        (torch.tensor([1.0, complex(0, float("nan"))]), r"'w' in x.pt must be finite, got nan\+?.* at \(1,\)"),
        (torch.tensor([1.0, float("nan")], dtype=torch.bfloat16), r"must be finite, got nan at \(1,\)"),
        (torch.ones(2, dtype=torch.int64), "'w' in x.pt must be of float32, .*, got int64"),
        (torch.ones(2, dtype=torch.bool), "'w' in x.pt must be of float32, .*, got bool"),
        (torch.ones(2).to(torch.float8_e4m3fn), "'w' in x.pt must be of float32, .*, got float8_e4m3fn"),
        (torch.zeros(0, 3), r"'w' in x.pt must have no empty axis, got shape \(0, 3\)"),
        (torch.ones(3, 3).to_sparse(), "'w' in x.pt must be a dense tensor with its numbers, got torch.sparse_coo"),
        (torch.ones(3, device="meta"), "'w' in x.pt must be a dense tensor with its numbers, got .* on meta"),
        (3.0, "'w' in x.pt must be a tensor, got float"),
        ([torch.ones(2)], "'w' in x.pt must be a tensor, got list"),
        ({"v": torch.ones(2)}, "'w' in x.pt must be a tensor, got dict"),
    ],
)
def test_what_is_no_weight_is_refused(tmp_path, value, message):
    refused(saved(tmp_path / "x.pt", {"w": value, "good": torch.ones(2)}), message)


def test_the_first_wrong_number_is_named_beyond_the_first_block(tmp_path):
    w = torch.ones(3, 2**20)
    w[2, 7] = float("nan")
    refused(saved(tmp_path / "x.pt", {"w": w}), r"must be finite, got nan at \(2, 7\)")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([1, 2]), "'w' in x.npz must be of float32, .*, got int64"),
        (np.array(["a"]), "'w' in x.npz must be an array of floats, got <U1"),
        (np.array([np.nan], dtype=np.float32), r"'w' in x.npz must be finite, got nan at \(0,\)"),
        (np.ones(2, dtype=np.longdouble), "'w' in x.npz must be an array of floats, got "),
    ],
)
def test_arrays_that_are_no_weights_are_refused(tmp_path, array, message):
    np.savez(tmp_path / "x.npz", w=array)
    refused(tmp_path / "x.npz", message)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({}, "checkpoint must hold tensors, got none in x.pt"),
        (torch.ones(3), "checkpoint must hold a state dict, got x.pt with Tensor"),
        ([STATE], "checkpoint must hold a state dict, got x.pt with list"),
        ({3: torch.ones(2)}, "checkpoint must have strings for names, got 3 in x.pt"),
        ({("a", "b"): torch.ones(2)}, re.escape("checkpoint must have strings for names, got ('a', 'b') in x.pt")),
        ({"state_dict": STATE, "model": STATE}, "must hold one state dict, got x.pt with state_dict and model"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, tree, message):
    refused(saved(tmp_path / "x.pt", tree), message)


def test_a_wrapper_in_itself_comes_to_an_end(tmp_path):
    tree = {}
    tree["model"] = tree
    refused(saved(tmp_path / "x.pt", tree), "one wrapper in another without end")


def test_safetensors_that_are_missing_are_asked_for(tmp_path, monkeypatch):
    save_file(STATE, tmp_path / "x.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    refused(tmp_path / "x.safetensors", "needs the safetensors package: pip install safetensors")


def test_every_dtype_of_safetensors_has_its_size():
    """As the library says: torch's element sizes for those that torch has."""
    from safetensors.torch import _TYPES

    for name, dtype in _TYPES.items():
        if name in archives.BITS and archives.BITS[name] >= 8:
            assert archives.BITS[name] == 8 * torch.empty(0, dtype=dtype).element_size()
    assert {"F32", "F64", "F16", "BF16", "C64"} <= set(archives.BITS)
