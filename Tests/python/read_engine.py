"""A second reader of engine files, written from docs/engine-format.md: plain Python and numpy.

    python Tests/python/read_engine.py model.engine           lists the steps and weights
    python Tests/python/read_engine.py model.engine ONNXQ     compares with `ONNXQ inspect --format json`
"""

import hashlib
import json
import struct
import subprocess
import sys

import numpy as np

MAGIC = b"\x89ONNXQE\n"
SECTIONS = ["stamp", "strings", "tensors", "interface", "steps", "operators", "data"]
WORK = ["integer", "border", "shape", "float"]
LAYOUTS = ["plain", "channels-last", "as-inputs"]
TYPES = {
    1: ("float", np.float32), 2: ("uint8", np.uint8), 3: ("int8", np.int8), 6: ("int32", np.int32),
    7: ("int64", np.int64), 9: ("bool", np.bool_), 10: ("float16", np.float16), 11: ("double", np.float64),
}
NONE = 0xFFFFFFFF


class Cursor:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, layout):
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values[0] if len(values) == 1 else values

    def word(self):
        return self.take("I")


class Engine:
    def __init__(self, path):
        self.data = open(path, "rb").read()
        head = Cursor(self.data)
        assert head.take("8s") == MAGIC, "no engine file"
        version, count, size, zero, digest = head.take("IIQQ32s")
        assert (version, count, size, zero) == (1, 7, len(self.data), 0)
        frame = bytearray(self.data[:512])
        frame[32:64] = bytes(32)
        assert hashlib.sha256(frame).digest() == digest, "header hash"
        self.sections = {}
        end = 512
        for number, name in enumerate(SECTIONS, 1):
            kind, zero, offset, length, other, digest = head.take("IIQQQ32s")
            assert (kind, zero, other) == (number, 0, 0)
            assert offset == -(-end // 64) * 64 and not any(self.data[end:offset])
            end = offset + length
            assert hashlib.sha256(self.data[offset:end]).digest() == digest, f"hash of {name}"
            self.sections[name] = (offset, length, digest.hex())
        assert end == len(self.data)
        self.strings = self.read_strings()
        self.tensors = self.read_tensors()
        self.read_interface()
        self.steps = self.read_steps()
        stamp = self.cursor("stamp")
        self.stamp = {}
        for _ in range(stamp.word()):
            key, value = stamp.take("II")
            self.stamp[self.strings[key]] = self.strings[value]

    def cursor(self, name):
        offset, length, _ = self.sections[name]
        return Cursor(self.data[offset:offset + length])

    def read_strings(self):
        cursor = self.cursor("strings")
        ends = [cursor.word() for _ in range(cursor.word())]
        text = cursor.data[cursor.at:]
        return [text[start:end].decode() for start, end in zip([0] + ends, ends)]

    def read_tensors(self):
        cursor = self.cursor("tensors")
        count, zero = cursor.take("II")
        assert zero == 0
        tensors = []
        expected = 0
        for _ in range(count):
            code, rank, offset, length = cursor.take("IIQQ")
            shape = [cursor.take("Q") for _ in range(rank)]
            assert offset == expected
            expected = -(-(offset + length) // 64) * 64 + 64
            tensors.append((code, shape, offset, length))
        assert expected == self.sections["data"][1]
        return tensors

    def array(self, index):
        """A tensor's values."""
        code, shape, offset, length = self.tensors[index]
        start = self.sections["data"][0] + offset
        return np.frombuffer(self.data[start:start + length], TYPES[code][1]).reshape(shape)

    def ports(self, cursor):
        ports = []
        for _ in range(cursor.word()):
            name, slot, code, rank = cursor.take("IIII")
            shape = None if rank == 0 else [cursor.take("qI")[0] for _ in range(rank - 1)]
            ports.append({"name": self.strings[name], "slot": slot, "type": code, "shape": shape})
        return ports

    def read_interface(self):
        cursor = self.cursor("interface")
        self.slots, self.whole, rounding = cursor.take("III")
        self.rounding = self.strings[rounding]
        self.inputs = self.ports(cursor)
        self.outputs = self.ports(cursor)
        self.constants = [cursor.take("III") for _ in range(cursor.word())]
        self.names = [cursor.take("IIIfII") for _ in range(cursor.word())]
        assert cursor.at == len(cursor.data)

    def read_steps(self):
        cursor = self.cursor("steps")
        steps = []
        for _ in range(cursor.word()):
            size = cursor.word()
            end = cursor.at + size
            kind, node, op_type, work, reason, layout = cursor.take("IIIIII")
            step = {
                "kind": self.strings[kind], "node": self.strings[node], "op_type": self.strings[op_type],
                "work": WORK[work], "layout": LAYOUTS[layout],
            }
            if reason != NONE:
                step["reason"] = self.strings[reason]
            for key in ("inputs", "outputs"):
                slots = [cursor.word() for _ in range(cursor.word())]
                step[key] = [None if slot == NONE else slot for slot in slots]
            step["fields"] = {}
            for _ in range(cursor.word()):
                name, code, count = cursor.take("III")
                values = [cursor.take(" qfII"[code]) for _ in range(count)]
                if code == 3:
                    values = [self.strings[value] for value in values]
                if code == 4:
                    values = self.described(values[0])
                step["fields"][self.strings[name]] = values
            assert cursor.at == end
            steps.append(step)
        assert cursor.at == len(cursor.data)
        return steps

    def described(self, index):
        code, shape, offset, length = self.tensors[index]
        return {"type": TYPES[code][0], "shape": shape, "offset": offset, "bytes": length, "index": index}


def compare(engine, shown):
    """Holds this reader against the document of `onnxq inspect --check --format json`; gives the number of steps."""
    assert shown["schema"] == "onnxq.inspect/1" and shown["changed"] == []
    assert shown["stamp"] == engine.stamp and shown["rounding"] == engine.rounding
    assert shown["slots"] == engine.slots
    for key, ports in (("inputs", engine.inputs), ("outputs", engine.outputs)):
        assert [(p["name"], p.get("shape")) for p in shown[key]] == [(p["name"], p["shape"]) for p in ports]
    for section in shown["sections"]:
        assert (section["offset"], section["size"], section["sha256"]) == engine.sections[section["name"]]
    assert len(shown["steps"]) == len(engine.steps)
    for theirs, ours in zip(shown["steps"], engine.steps):
        for key in ("kind", "node", "op_type", "work", "layout", "inputs", "outputs"):
            assert theirs[key] == ours[key], (key, theirs[key], ours[key])
        assert theirs.get("reason") == ours.get("reason")
        assert set(theirs["fields"]) == set(ours["fields"])
        total = 0
        for name, value in ours["fields"].items():
            other = theirs["fields"][name]
            if isinstance(value, dict):
                total += value["bytes"]
                value = {key: value[key] for key in ("type", "shape", "offset", "bytes")}
            elif value and isinstance(value[0], float):
                other = [float(np.float32(x)) for x in other]
            assert value == other, (ours["node"], name, value, other)
        assert total == theirs["bytes"]
        for name, key in (("multipliers", "multipliers"), ("shifts", "shifts")):
            if name in ours["fields"]:
                assert engine.array(ours["fields"][name]["index"]).tolist() == theirs[key]
    return len(engine.steps)


def main():
    path = sys.argv[1]
    engine = Engine(path)
    if len(sys.argv) > 2:
        command = [sys.argv[2], "inspect", path, "--check", "--format", "json"]
        steps = compare(engine, json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        print(f"{path}: {steps} steps, {len(engine.tensors)} tensors, equal to onnxq inspect")
        return
    for number, step in enumerate(engine.steps):
        print(number, step["kind"], step["node"], step["inputs"], "->", step["outputs"])
        for name, value in step["fields"].items():
            if isinstance(value, dict):
                values = engine.array(value["index"])
                print(f"    {name}: {value['type']}{value['shape']} from {values.min()} to {values.max()}")
            else:
                print(f"    {name}: {value}")


if __name__ == "__main__":
    main()
