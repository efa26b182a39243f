"""Checks that a file is a JSON Schema, and that it accepts some manifests and refuses others.

Usage: schema.py SCHEMA GOOD... --bad BAD...
"""

import json
import sys

import yaml
from jsonschema import Draft202012Validator


def main(schema_file, *manifests):
    schema = read(schema_file, json.load)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    split = manifests.index("--bad")
    good, bad = manifests[:split], manifests[split + 1 :]
    for manifest in good:
        for error in validator.iter_errors(read(manifest, yaml.safe_load)):
            sys.exit(f"{manifest}: {error.json_path}: {error.message}")
    for manifest in bad:
        if validator.is_valid(read(manifest, yaml.safe_load)):
            sys.exit(f"{manifest} is accepted, though it is wrong")
    print(f"{len(good) + len(bad)} manifests")


def read(path, parse):
    with open(path, encoding="utf-8") as file:
        return parse(file)


main(*sys.argv[1:])
