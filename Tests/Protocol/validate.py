"""Compares messages with their schemas in api/asyncapi.json: what the server said while it was tested, the recorded
conversations of tablets, the examples in docs/protocol.md and those of the description itself.

usage: validate.py [--partial] FRAMES

FRAMES has one message of the server on each line (FYNLO_TEST_FRAMES). With --partial it may be missing, and need not have
every type; otherwise each type that the server is described to send has to be there.
"""

import json
import pathlib
import re
import sys
from collections import Counter

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
DESCRIPTION = ROOT / "api" / "asyncapi.json"
PAGE = ROOT / "docs" / "protocol.md"

SENDERS = {"<": "server", ">": "tablet"}
USER, RESTAURANT, ORDER = (f"{digit * 8}-1111-4111-8111-{digit * 12}" for digit in "abc")
TIME = "2026-01-31T18:04:05.123Z"


def parse(text):
    """JSON in which no object has a member twice, and no number is NaN."""

    def unique(members):
        names = [name for name, _ in members]
        if len(set(names)) < len(names):
            raise ValueError(f"a member is there twice: {names}")
        return dict(members)

    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)


class Check:
    """Counts the messages that are as described, and prints the others."""

    def __init__(self):
        self.document = parse(DESCRIPTION.read_text())
        self.messages = self.document["components"]["messages"]
        self.validators = {}
        self.counts = {"server": Counter(), "tablet": Counter()}
        self.findings = 0

    def complain(self, place, what, message=None):
        self.findings += 1
        if self.findings <= 20:
            print(f"{place}: {what}", file=sys.stderr)
            if message is not None:
                print(f"    {json.dumps(message)[:1000]}", file=sys.stderr)

    def validator(self, name):
        if name not in self.validators:
            # The whole document around it, so that references lead into it.
            schema = {**self.document, "$ref": f"#/components/messages/{name}/payload"}
            jsonschema.Draft202012Validator.check_schema(self.messages[name]["payload"])
            self.validators[name] = jsonschema.Draft202012Validator(schema)
        return self.validators[name]

    def message(self, sender, text, place):
        """Checks a message, as text or as a value."""
        try:
            message = parse(text) if isinstance(text, str) else text
            kind = message["type"]
        except (ValueError, TypeError, KeyError) as error:
            return self.complain(place, f"no message: {error!r}", text)
        name = f"{sender}.{kind}"
        if name not in self.messages:
            return self.complain(place, f"{kind} of the {sender} is not described", message)
        error = jsonschema.exceptions.best_match(self.validator(name).iter_errors(message))
        if error:
            path = "/".join(str(step) for step in error.absolute_path)
            return self.complain(place, f"{kind} of the {sender} is not as described, at /{path}: {error.message}", message)
        self.counts[sender][kind] += 1


def check_frames(check, path):
    with open(path, encoding="utf-8") as frames:
        for number, line in enumerate(frames, 1):
            check.message("server", line, f"{path.name}:{number}")


def check_page(check):
    """Every block of JSON in the page is one message and names its sender."""
    blocks = re.findall(r"^```json ?(.*)\n((?:.*\n)*?)```$", PAGE.read_text(), flags=re.MULTILINE)
    if not blocks:
        check.complain(PAGE.name, "there are no examples")
    for sender, text in blocks:
        if sender in SENDERS.values():
            check.message(sender, text, f"{PAGE.name}, an example")
        else:
            check.complain(PAGE.name, "a block of JSON does not say whether a tablet or the server sends it", text)


def check_examples(check):
    for name, message in check.messages.items():
        examples = message.get("examples", [])
        if not examples:
            check.complain(DESCRIPTION.name, f"{name} has no example")
        for example in examples:
            if name != f"{name.split('.')[0]}.{example['payload']['type']}":
                check.complain(DESCRIPTION.name, f"{name} has an example of another type")
            check.message(name.split(".")[0], example["payload"], f"{DESCRIPTION.name}, {name}")


def check_recordings(check):
    order = next(
        example["payload"]["data"]["order"]
        for example in check.messages["server.error"]["examples"]
        if "order" in example["payload"]["data"]
    )
    # What may stand for "*", which a recording has for any value.
    anything = {
        "id": "0123456789abcdef-1-1", "connection_id": RESTAURANT, "token_expires_at": TIME, "timestamp": TIME,
        "order_number": "ORD-1001", "error": "One sentence.", "order": order,
    }

    def filled(value):
        if not isinstance(value, dict):
            return value
        return {name: anything[name] if member == "*" else filled(member) for name, member in value.items()}

    paths = sorted((ROOT / "Tests").rglob("Recordings/*.txt"))
    if not paths:
        check.complain("Tests", "there are no Recordings")
    for path in paths:
        text = path.read_text()
        for name, value in (("USER", USER), ("RESTAURANT", RESTAURANT), ("ORDER", ORDER)):
            text = text.replace(f"$UPPER{name}", value.upper()).replace(f"${name}", value)
        lines = text.replace("$TOKEN", "a.b.c").splitlines()
        refused = set(re.findall(r'"data":\{"id":"([^"]*)","code":"unknown_type"', text))
        for number, line in enumerate(lines, 1):
            sender = SENDERS.get(line[:1])
            if not sender:
                continue
            message = parse(line[2:])
            if sender == "tablet" and message.get("id") in refused:
                if f"tablet.{message['type']}" in check.messages:
                    check.complain(f"{path.name}:{number}", "an unknown type is described", message)
                continue
            check.message(sender, filled(message) if sender == "server" else message, f"{path.name}:{number}")


def main(arguments):
    is_partial = "--partial" in arguments
    paths = [pathlib.Path(argument) for argument in arguments if argument != "--partial"]
    if len(paths) != 1:
        sys.exit(__doc__)
    check = Check()
    if paths[0].exists() or not is_partial:
        check_frames(check, paths[0])
    said = dict(check.counts["server"])
    if not is_partial:
        for name in check.messages:
            sender, kind = name.split(".", 1)
            if sender == "server" and kind not in said:
                check.complain(DESCRIPTION.name, f"no test has made the server send {kind}")
    check_page(check)
    check_examples(check)
    check_recordings(check)
    listed = ", ".join(f"{kind} {count}" for kind, count in sorted(said.items()))
    others = sum(sum(counts.values()) for counts in check.counts.values()) - sum(said.values())
    print(f"Messages: {sum(said.values())} shapes of what the server said ({listed or 'none'})")
    print(f"          and {others} recorded ones and examples were compared with api/{DESCRIPTION.name}.")
    if check.findings:
        sys.exit(f"{check.findings} of them, or of the description, are not in order.")


if __name__ == "__main__":
    main(sys.argv[1:])
