"""Recordings of complex numbers at the terminal."""

from __future__ import annotations

import json

import numpy as np

from cli.conftest import Record, Torchtract, WriteGraph

TURNED = """
version 1.0;
extension tract_registry tract_core;
extension tract_symbol B;
extension KHR_enable_fragment_definitions;

fragment tract_core_properties() -> (properties: (string, tensor<scalar>)[])
{
    properties = [('torchtract.complex', 'z turned')];
}

graph network(z) -> (turned, plain)
{
    z = tract_core_external(shape = [B, 3, 2], datum_type = 'f32');
    turned = neg(z);
    plain = mul(z, 2.0);
}
"""


def test_every_command(torchtract: Torchtract, graph: WriteGraph, record: Record) -> None:
    model = graph(TURNED)
    z = (np.arange(6) - 2j).reshape(2, 3).astype(np.complex64)
    inputs = record("in.npz", z=z)
    written = inputs.with_name("out.npz")

    run = torchtract("run", model, inputs, "--output", written)
    assert ["turned", "2,3,ComplexF32"] in [line.split()[:2] for line in run.stdout.splitlines()]
    with np.load(written) as arrays:
        np.testing.assert_array_equal(arrays["turned"], -z)
        assert arrays["plain"].shape == (2, 3, 2)
    assert torchtract("check", model, inputs, written).exit_code == 0
    wrong = record("wrong.npz", turned=z, plain=np.zeros((2, 3, 2), np.float32))
    assert torchtract("check", model, inputs, wrong).exit_code == 1

    told = json.loads(torchtract("dump", "--json", "--no-nodes", model).stdout)
    assert told["inputs"] == [{"name": "z", "dtype": "complex64", "shape": ["B", 3]}]
    assert [fact["dtype"] for fact in told["outputs"]] == ["complex64", "float32"]
    for given in (("--input", inputs), ("--set", "B=3")):
        for command in ("bench", "profile"):
            assert torchtract(command, *given, model).exit_code == 0
    refused = torchtract("run", model, record("real.npz", z=z.real))
    assert "the dtype must be complex64" in refused.stderr
