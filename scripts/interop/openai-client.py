"""The `openai` package against whatever OPENAI_BASE_URL and OPENAI_API_KEY name: `openai-client.py STEP...`.

Each step prints what came, and ends the program if that is not what it should be. Nothing is tried twice, so
what a gateway does not smooth over is seen."""

import json
import pathlib
import sys
import tempfile

import openai

client = openai.OpenAI(max_retries=0)
model = "gpt-fake-1"
words = ["Hello ", "through ", "the ", "gateway."]
weather = {
    "name": "weather",
    "description": "the weather of a town",
    "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
}
call = 'call weather {"town": "Ulm"}'


def check(what, have, wanted):
    if have != wanted:
        sys.exit(f"{what}: {have!r}, not {wanted!r}")
    print(f"openai: {what}: {have!r}")


class Slow:
    """A prompt to which the API says its first word, and the rest only once that one is here."""

    def __init__(self):
        self.seen = pathlib.Path(tempfile.mkdtemp()) / "seen"
        self.prompt = f"say hello\nthe rest when {self.seen} is there"

    def pieces(self, texts):
        for text in filter(None, texts):
            self.seen.touch()
            yield text


def chat():
    slow = Slow()
    ask = {"model": model, "messages": [{"role": "user", "content": slow.prompt}]}
    chunks = client.chat.completions.create(**ask, stream=True)
    pieces = list(slow.pieces(chunk.choices[0].delta.content for chunk in chunks))
    check("chat, a stream", pieces, words)
    *_, last = client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
    check("chat, its usage", last.usage.total_tokens, 2)
    check("chat, whole", client.chat.completions.create(**ask).choices[0].message.content, "".join(words))


def chat_tool():
    messages = [{"role": "user", "content": call}]
    ask = {"model": model, "messages": messages, "tools": [{"type": "function", "function": weather}], "stream": True}
    name, arguments, call_id = "", "", None
    for chunk in client.chat.completions.create(**ask):
        for part in chunk.choices[0].delta.tool_calls or []:
            call_id = part.id or call_id
            name += part.function.name or ""
            arguments += part.function.arguments or ""
    check("chat, a tool call in a stream", (name, json.loads(arguments)), ("weather", {"town": "Ulm"}))
    function = {"name": name, "arguments": arguments}
    messages += [
        {"role": "assistant", "tool_calls": [{"id": call_id, "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": call_id, "content": "rain"},
    ]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**ask))
    check("chat, after the tool", text, "The tool said: rain")


def responses():
    slow = Slow()
    ask = {"model": model, "input": slow.prompt}
    events = client.responses.create(**ask, stream=True)
    deltas = (event.delta for event in events if event.type == "response.output_text.delta")
    check("responses, a stream", list(slow.pieces(deltas)), words)
    check("responses, whole", client.responses.create(**ask).output_text, "".join(words))


def responses_tool():
    asked = [{"role": "user", "content": call}]
    ask = {"model": model, "tools": [{"type": "function", **weather}]}
    with client.responses.stream(**ask, input=asked) as stream:
        item = stream.get_final_response().output[0]
    check("responses, a tool call in a stream", (item.name, json.loads(item.arguments)), ("weather", {"town": "Ulm"}))
    made = {"type": "function_call", "call_id": item.call_id, "name": item.name, "arguments": item.arguments}
    result = {"type": "function_call_output", "call_id": item.call_id, "output": "rain"}
    with client.responses.stream(**ask, input=[*asked, made, result]) as stream:
        check("responses, after the tool", stream.get_final_response().output_text, "The tool said: rain")


def models():
    ids = [one.id for one in client.models.list()]
    if not any(one.endswith(model) for one in ids):
        sys.exit(f"models: no {model} in {ids}")
    print(f"openai: models: {ids}")
    check("one model", client.models.retrieve(model).id, model)


def embeddings():
    answer = client.embeddings.create(model="embed-fake-1", input=["one", "two"])
    check("embeddings", [one.embedding for one in answer.data], [[0.25, -0.5, 1.0]] * 2)


def bad_request():
    try:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "refuse this"}])
    except openai.BadRequestError as error:
        check("a 400", error.body["message"], "the fake API does not do this")
    else:
        sys.exit("a 400 was no error")


def limited():
    try:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "say hello"}])
    except openai.RateLimitError as error:
        wait = int(error.response.headers["retry-after"])
        if not 0 < wait <= 60:
            sys.exit(f"a Retry-After of {wait}")
        print(f"openai: 429, Retry-After {wait}: {error.body}")
    else:
        sys.exit("a 429 was no error")


def refused():
    try:
        client.models.list()
    except openai.AuthenticationError as error:
        print(f"openai: 401: {error.body}")
    else:
        sys.exit("a wrong key was let in")


steps = [chat, chat_tool, responses, responses_tool, models, embeddings, bad_request, limited, refused]
named = {step.__name__: step for step in steps}
for name in sys.argv[1:]:
    named[name]()
