"""Holds the descriptors of proto/ against those of the installed onnx package, field by field.

usage: check_proto.py FILE   (the descriptor set that protoc writes, imports included)
"""
import sys

import onnx
from google.protobuf import descriptor_pb2
from onnx import onnx_data_pb2, onnx_ml_pb2

EXPECTED_VERSION = "1.23.2"


def official(module):
    file = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    return file


def normalized(file):
    """Without what names the file itself or its comments."""
    copy = descriptor_pb2.FileDescriptorProto()
    copy.CopyFrom(file)
    copy.ClearField("name")
    copy.ClearField("dependency")
    copy.ClearField("source_code_info")
    for message in copy.message_type:
        clear_json_names(message)
    return copy


def clear_json_names(message):
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        clear_json_names(nested)


def differences(ours, theirs, where):
    """The first-level differences of two messages, followed into what both have."""
    if ours == theirs:
        return []
    found = []
    for field in ours.DESCRIPTOR.fields:
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        if a == b and (field.is_repeated or ours.HasField(field.name) == theirs.HasField(field.name)):
            continue
        if not field.is_repeated:
            found.append(f"{where}.{field.name}: ours {a!r}, official {b!r}")
        elif field.message_type is None or not all(hasattr(x, "name") for x in list(a) + list(b)):
            found.append(f"{where}.{field.name}: ours {list(a)}, official {list(b)}")
        else:
            mine, other = {x.name: x for x in a}, {x.name: x for x in b}
            found += [f"{where}: {name} is not official" for name in mine if name not in other]
            found += [f"{where}: {name} is missing" for name in other if name not in mine]
            both = [name for name in mine if name in other]
            for name in both:
                found += differences(mine[name], other[name], f"{where}.{name}")
            if not found:
                found.append(f"{where}.{field.name}: order {list(mine)}, official {list(other)}")
    return found


def main():
    if onnx.__version__ != EXPECTED_VERSION:
        sys.exit(f"check_proto: the onnx package is {onnx.__version__}, proto/ is written for {EXPECTED_VERSION}")
    descriptors = descriptor_pb2.FileDescriptorSet()
    with open(sys.argv[1], "rb") as file:
        descriptors.ParseFromString(file.read())
    ours = {file.name: file for file in descriptors.file}
    failures, messages, fields, values = [], 0, 0, 0
    for name, module in (("onnx.proto", onnx_ml_pb2), ("onnx-data.proto", onnx_data_pb2)):
        a, b = normalized(ours[name]), normalized(official(module))
        failures += differences(a, b, name)
        if a != b and not failures:
            failures.append(f"{name}: the descriptors differ")
        pending = list(a.message_type)
        enums = list(a.enum_type)
        while pending:
            message = pending.pop()
            pending += message.nested_type
            enums += message.enum_type
            messages += 1
            fields += len(message.field)
        values += sum(len(enum.value) for enum in enums)
    for failure in failures:
        print(failure)
    if failures:
        sys.exit(f"check_proto: {len(failures)} differences from onnx {onnx.__version__}")
    print(f"check_proto: {messages} messages, {fields} fields, {values} enum values equal onnx {onnx.__version__}'s")


if __name__ == "__main__":
    main()
