"""The `anthropic` package against whatever ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY name: `anthropic-client.py STEP...`.

Each step prints what came, and ends the program if that is not what it should be. Nothing is tried twice, so
what a gateway does not smooth over is seen."""

import pathlib
import sys
import tempfile

import anthropic

client = anthropic.Anthropic(max_retries=0)
model = "claude-fake-1"
words = ["Hello ", "through ", "the ", "gateway."]
weather = {
    "name": "weather",
    "description": "the weather of a town",
    "input_schema": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
}


def check(what, have, wanted):
    if have != wanted:
        sys.exit(f"{what}: {have!r}, not {wanted!r}")
    print(f"anthropic: {what}: {have!r}")


def asking(text, *more):
    return {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": text}, *more]}


def messages():
    # The API says its first word, and the rest only once that one is here.
    seen = pathlib.Path(tempfile.mkdtemp()) / "seen"
    prompt = f"say hello\nthe rest when {seen} is there"
    pieces = []
    with client.messages.stream(**asking(prompt)) as stream:
        for piece in stream.text_stream:
            seen.touch()
            pieces.append(piece)
    check("messages, a stream", pieces, words)
    check("messages, whole", client.messages.create(**asking(prompt)).content[0].text, "".join(words))


def tool():
    prompt = 'call weather {"town": "Ulm"}'
    with client.messages.stream(**asking(prompt), tools=[weather]) as stream:
        answer = stream.get_final_message()
    block = answer.content[0]
    check("a tool call in a stream", (answer.stop_reason, block.name, block.input), ("tool_use", "weather", {"town": "Ulm"}))
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "rain"}
    more = ({"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]})
    with client.messages.stream(**asking(prompt, *more), tools=[weather]) as stream:
        check("after the tool", stream.get_final_text(), "The tool said: rain")


def count_tokens():
    asked = asking("say hello")
    del asked["max_tokens"]
    check("count_tokens", client.messages.count_tokens(**asked).input_tokens, 7)


def models():
    ids = [one.id for one in client.models.list()]
    if not any(one.endswith(model) for one in ids):
        sys.exit(f"models: no {model} in {ids}")
    print(f"anthropic: models: {ids}")
    check("one model", client.models.retrieve(model).id, model)


def bad_request():
    try:
        client.messages.create(**asking("refuse this"))
    except anthropic.BadRequestError as error:
        check("a 400", error.body["error"]["message"], "the fake API does not do this")
    else:
        sys.exit("a 400 was no error")


def limited():
    try:
        client.messages.create(**asking("say hello"))
    except anthropic.RateLimitError as error:
        wait = int(error.response.headers["retry-after"])
        if not 0 < wait <= 60:
            sys.exit(f"a Retry-After of {wait}")
        check("429, its type", error.body["error"]["type"], "rate_limit_error")
        print(f"anthropic: 429, Retry-After {wait}: {error.body['error']['message']}")
    else:
        sys.exit("a 429 was no error")


def refused():
    try:
        client.models.list()
    except anthropic.AuthenticationError as error:
        print(f"anthropic: 401: {error.body}")
    else:
        sys.exit("a wrong key was let in")


steps = [messages, tool, count_tokens, models, bad_request, limited, refused]
named = {step.__name__: step for step in steps}
for name in sys.argv[1:]:
    named[name]()
