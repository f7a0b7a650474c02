"""Models behind Hugging Face's APIs: Inference Providers, dedicated Inference Endpoints, any TGI or like server."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import ConfigDict, Field, PositiveInt, PrivateAttr, SecretStr

from limbeck import LLM
from limbeck.backends import ClientPerLoop, ServerAddress, chat_messages, import_sdk, refuse_secrets
from limbeck.errors import (
    BadRequestError,
    ConfigurationError,
    LimbeckWarning,
)
from limbeck.types import Capabilities

from ._answers import read_chat, read_text
from ._parameters import check_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from limbeck.types import GenerationRequest, GenerationResponse, JSONSchema

    from ._route import Route, RouteFinder
    from ._wire import Answer, Wire  # noqa: TC004 - pydantic leaves the type of a private attribute alone

_NAME = "InferenceEndpointsLLM"

# Tokens that text generation may write where the server's limit is not known; left to itself, it stops at 20 or 100.
_MAX_NEW_TOKENS = 2048

_FOR_SECRETS = (
    "Use the field `api_key`; `url_query` is for a secret that belongs into the URL, as in `url_query='token=…'`."
)

_RESERVED = {
    "model": "name the model with `model_id`, or with `served_model_name` beside `base_url`",
    "stream": "Limbeck needs whole answers",
    "stream_options": "Limbeck needs whole answers",
}
_RESERVED_BY_CHAT = {
    **_RESERVED,
    "messages": "they are the task's `format_input`",
    "n": "set `num_generations` on the task",
}
_RESERVED_BY_TEXT = {**_RESERVED, "prompt": "it is the task's `format_input`, in the tokenizer's chat template"}


class InferenceEndpointsLLM(LLM):
    """A model behind one of Hugging Face's APIs, or behind a server that speaks one of them.

    One of these says where it is:

    - `model_id`: the Hub's Inference Providers, through Hugging Face's router;
    - `endpoint_name`: a dedicated Inference Endpoint, whose address is looked up at the first request;
    - `base_url`: TGI, vLLM, llama.cpp or any server with a chat-completions API; with `model_id` beside it, that
      model at that address.

    Chats are sent as chats (`chat_completion`) and the server applies the model's template. With `tokenizer_id`
    beside `endpoint_name` or `base_url`, the prompt is rendered here with that tokenizer's chat template and sent as
    text (`text_generation`), the beginning of an answer too; that needs the extra `limbeck-huggingface[tokenizer]`.
    Beside `model_id` the tokenizer is not needed, because the providers take chat models as chats only:
    `use_chat_completion=False` insists. A raw prompt is sent as text, or to a server's `/v1/completions`.

    The key is `api_key`, else HF_TOKEN, else the one that `hf auth login` saved. To a `base_url` outside Hugging Face
    only `api_key` is sent.

    Attributes:
        model_id: hub id of the model, with `:provider` or a policy after it if you like.
        endpoint_name: name of the dedicated endpoint.
        endpoint_namespace: user or organisation it belongs to; the key's own user if None.
        base_url: address of the server, with or without `/v1`.
        served_model_name: what the server at `base_url` or the endpoint calls its model, where that is not `model_id`;
            vLLM refuses any other name.
        tokenizer_id: hub id or local folder of a tokenizer with a chat template.
        use_chat_completion: True for chats, False for text; None decides as said above.
        inference_provider: whose servers answer for `model_id` ("novita", "together", …), or "auto" for the router's
            choice. Given as `provider`.
        api_key: the key.
        url_query: the query of every request's URL to `base_url`, as in `"tenant=a&token=…"`; what stands behind the
            `?` of `base_url` is put here. It is kept as a key is: neither shown nor stored.
        max_response_bytes: bytes of one response at most, unpacked; a longer one fails its row.
        bill_to: organisation that pays for `model_id`'s requests.
        generation_kwargs: what `AsyncInferenceClient.chat_completion` takes, or `text_generation` for text.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        native_json_schema=True, tools=True, vision=True, logprobs=True, completions=True, prefill=True
    )
    transport_fields: ClassVar[frozenset[str]] = frozenset({"bill_to", "max_response_bytes"})

    model_id: str | None = None
    endpoint_name: str | None = None
    endpoint_namespace: str | None = None
    base_url: str | None = None
    served_model_name: str | None = None
    tokenizer_id: str | None = None
    use_chat_completion: bool | None = None
    # Not named `provider`: a backend's configuration holds its registered name under that key.
    inference_provider: str = Field(default="auto", alias="provider")
    api_key: SecretStr | None = None
    bill_to: str | None = None
    url_query: SecretStr | None = None
    max_response_bytes: PositiveInt = 32 * 2**20

    model_config = ConfigDict(populate_by_name=True)

    _wires: ClientPerLoop[Wire] = PrivateAttr(default_factory=ClientPerLoop)

    def model_post_init(self, context: Any, /) -> None:
        """Check the fields against each other."""
        self._check_place()
        self._check_form()
        super().model_post_init(context)

    def _check_place(self) -> None:
        places = {"model_id": self.model_id, "endpoint_name": self.endpoint_name, "base_url": self.base_url}
        given = [f"`{name}`" for name, value in places.items() if value]
        if len(given) != 1 and given != ["`model_id`", "`base_url`"]:
            raise ConfigurationError(
                f"`{_NAME}` needs exactly one of `model_id`, `endpoint_name` and `base_url`, or a `model_id` at a "
                f"`base_url`; it has {' and '.join(given) or 'none'}."
            )
        if self.base_url:
            address = ServerAddress.of(self.base_url, name="`base_url`", example="http://localhost:8080")
            self.base_url = address.url
            if address.query:
                self.url_query = address.query_beside(self.url_query, name="`base_url`")
        through_hub = bool(self.model_id and not self.base_url)
        needs = {
            "endpoint_namespace": ("endpoint_name", self.endpoint_namespace and not self.endpoint_name),
            "served_model_name": ("base_url` or `endpoint_name", self.served_model_name and through_hub),
            "bill_to": ("model_id", self.bill_to and not through_hub),
            "provider": ("model_id", self.inference_provider != "auto" and not through_hub),
            "url_query": ("base_url", self.url_query and not self.base_url),
        }
        for name, (place, is_alone) in needs.items():
            if is_alone:
                raise ConfigurationError(
                    f"`{_NAME}` can have `{name}` only beside `{place}`, and it has {' and '.join(given)}."
                )

    def _check_form(self) -> None:
        if self.use_chat_completion and self.tokenizer_id:
            raise ConfigurationError(
                f"`{_NAME}` has `use_chat_completion=True` and `tokenizer_id`, but a chat is sent without a tokenizer. "
                "Leave one out."
            )
        if self.use_chat_completion is False and not self.tokenizer_id:
            raise ConfigurationError(
                f"`{_NAME}` has `use_chat_completion=False`, so it needs `tokenizer_id`, "
                "whose chat template makes a prompt of a chat."
            )
        if self._speaks_chat and self.tokenizer_id and self.tokenizer_id != self.model_id:
            warnings.warn(
                f"`tokenizer_id` {self.tokenizer_id!r} is not used: `model_id` {self.model_id!r} is asked through "
                "Inference Providers, which apply the model's own chat template. "
                "`use_chat_completion=False` sends text instead.",
                LimbeckWarning,
                stacklevel=4,
            )

    @property
    def _speaks_chat(self) -> bool:
        if self.use_chat_completion is None:
            return self.tokenizer_id is None or (self.model_id is not None and self.base_url is None)
        return self.use_chat_completion

    @property
    def model_name(self) -> str:
        """The hub id; else `served_model_name`, the endpoint's name or the URL."""
        name = self.model_id or self.served_model_name or self.endpoint_name or self.base_url
        assert name is not None
        return name

    def check_generation_kwargs(self, generation_kwargs: Mapping[str, Any]) -> None:
        """Compare the names with the SDK's method; `extra_body` takes what a chat server has beyond them."""
        _check_names(tuple(generation_kwargs), chat=self._speaks_chat)
        refuse_secrets(generation_kwargs, owner=_NAME, remedy=_FOR_SECRETS)

    @property
    def identity(self) -> dict[str, Any]:
        """The identity that every LLM has, with a digest of those parts of the URL's query that are no secret."""
        return {**super().identity, **ServerAddress("", self._query).identity}

    @property
    def _query(self) -> str:
        return ServerAddress("").with_query(self.url_query).query

    def load(self) -> None:
        """Check that the SDK, the tokenizer's package and a key are there. No network.

        Raises:
            MissingDependencyError: huggingface_hub is not installed, or transformers, where a tokenizer is used.
            MissingCredentialError: there is no key, and Hugging Face would want one.
            ConfigurationError: there is no such `provider`, HF_HUB_OFFLINE is set, or an environment variable for
                proxies or certificates cannot be used.
        """
        self._route_finder().check()

    def _route_finder(self) -> RouteFinder:
        _require_sdk()
        from ._route import RouteFinder

        return RouteFinder(
            model_id=self.model_id,
            endpoint_name=self.endpoint_name,
            endpoint_namespace=self.endpoint_namespace,
            base_url=self.base_url,
            served_model_name=self.served_model_name,
            tokenizer_id=self.tokenizer_id,
            provider=self.inference_provider,
            key=self.api_key.get_secret_value() if self.api_key else None,
            query=self._query,
            bill_to=self.bill_to,
            chat=self._speaks_chat,
            timeout=self.timeout,
            needed_by=f"`{_NAME}`",
        )

    def _connect(self) -> Wire:
        finder = self._route_finder()
        finder.check()  # a client that cannot be made would say less
        from ._wire import Wire

        return Wire(
            finder.find,
            connections=self.max_concurrency,
            timeout=self.timeout,
            max_response_bytes=self.max_response_bytes,
            query=self._query,
        )

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        """Send one request."""
        parameters = {**self.generation_kwargs, **request.parameters}
        if self._speaks_chat and "parallel_tool_calls" in parameters:  # which servers take, and the SDK does not name
            several = {"parallel_tool_calls": parameters.pop("parallel_tool_calls")}
            parameters["extra_body"] = {**several, **(parameters.get("extra_body") or {})}
        try:
            _check_names(tuple(parameters), chat=self._speaks_chat)
        except ConfigurationError as exc:
            raise BadRequestError(str(exc)) from None
        wire = await self._wires.get(self._connect)
        route = await wire.route()
        if not self._speaks_chat:
            return await self._text(wire, route, request, parameters)
        if request.prompt is not None:
            return await self._completion(wire, route, request, parameters)
        return await self._chat(wire, route, request, parameters)

    async def _completion(
        self, wire: Wire, route: Route, request: GenerationRequest, parameters: dict[str, Any]
    ) -> GenerationResponse:
        """Send a raw prompt to the `/v1/completions` beside the chat completions of a server of one's own."""
        if route.root is None:
            raise BadRequestError(
                "Inference Providers take chats only, no raw `prompt`. Name a server or an endpoint, or send text: "
                "`use_chat_completion=False` with `tokenizer_id`."
            )
        extra = parameters.pop("extra_body", None) or {}
        body = {"model": route.payload_model or "dummy", "prompt": request.prompt, **parameters, **extra}
        return self._read(await wire.post_to(route, f"{route.root}/v1/completions", body))

    def _read(self, answer: Answer) -> GenerationResponse:
        whole = read_chat(answer.body, quota=answer.quota, model_name=self.model_name)
        return replace(whole, left_out=answer.left_out)

    async def _chat(
        self, wire: Wire, route: Route, request: GenerationRequest, parameters: dict[str, Any]
    ) -> GenerationResponse:
        if request.prefill is not None:
            raise BadRequestError(
                "A chat is sent as a chat, whose last message no server of this kind goes on with. Send text: "
                "`tokenizer_id` renders the beginning of the answer too."
            )
        extra = parameters.pop("extra_body", None) or {}
        parameters = {"model": route.payload_model, **parameters, **extra}
        form = _merged(
            parameters.pop("response_format", None), request.output_schema, _response_format, "response_format"
        )
        body: dict[str, Any] = {}
        if form is not None and route.root is None:
            parameters["response_format"] = form
        elif form is not None:
            # The SDK puts TGI's form into every request to a URL, and other servers then constrain nothing, silently.
            body["response_format"] = _for_tgi(form) if (await wire.server(route)).is_tgi else form
        messages = chat_messages(request.messages, model=self.model_name)
        return self._read(await wire.post(route, messages, parameters, **body))

    async def _text(
        self, wire: Wire, route: Route, request: GenerationRequest, parameters: dict[str, Any]
    ) -> GenerationResponse:
        assert route.prompter is not None
        prompt = route.prompter.prompt(request.messages) if request.prompt is None else request.prompt
        tokens = route.prompter.count(prompt)
        keep_tokens = bool(parameters.get("details") or parameters.get("top_n_tokens"))
        grammar = _merged(parameters.pop("grammar", None), request.output_schema, _grammar, "grammar")
        parameters = {**await self._text_defaults(wire, route, tokens), **parameters}
        if grammar is not None:
            parameters["grammar"] = grammar
        answer = await wire.post(route, prompt, parameters)
        read = read_text(route.generated(answer.body), quota=answer.quota, input_tokens=tokens, keep_tokens=keep_tokens)
        return replace(read, left_out=answer.left_out)

    async def _text_defaults(self, wire: Wire, route: Route, prompt_tokens: int) -> dict[str, Any]:
        if route.root is None:
            return {"max_new_tokens": _MAX_NEW_TOKENS}
        limit = (await wire.server(route)).max_total_tokens
        if limit is None:
            return {"max_new_tokens": _MAX_NEW_TOKENS, "return_full_text": False}
        # A prompt that leaves no room is the server's to refuse.
        return {"max_new_tokens": max(1, limit - prompt_tokens), "return_full_text": False, "details": True}

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        await self._wires.aclose()

    def __copy__(self) -> Self:
        """A copy with connections of its own: its fields may be changed."""
        copied = super().__copy__()
        copied._wires = ClientPerLoop()  # noqa: SLF001 - its own class
        return copied


def _require_sdk() -> None:
    import_sdk("huggingface_hub", defines="get_token", needed_by=f"`{_NAME}`", requirement="limbeck-huggingface")


@lru_cache(maxsize=64)
def _check_names(names: tuple[str, ...], *, chat: bool) -> None:
    reserved = _RESERVED_BY_CHAT if chat else _RESERVED_BY_TEXT
    subject = "`chat_completion`" if chat else "`text_generation`, which `tokenizer_id` chooses,"
    if names:
        check_names(names, known=_known_names(chat=chat), reserved=reserved, subject=subject)


@lru_cache(maxsize=2)
def _known_names(*, chat: bool) -> frozenset[str]:
    _require_sdk()
    from huggingface_hub import AsyncInferenceClient

    method = AsyncInferenceClient.chat_completion if chat else AsyncInferenceClient.text_generation
    return frozenset(inspect.signature(method).parameters) - {"self"}


def _merged(given: Any, schema: JSONSchema | None, form: Any, name: str) -> Any:
    """The constraint on the answer: the user's own `response_format` or `grammar`, or the one for `schema`."""
    if schema is None:
        return given
    if given is not None:
        raise BadRequestError(f"The task has an `output_schema` and `generation_kwargs` has {name!r}. Leave one out.")
    return form(schema)


def _response_format(schema: JSONSchema) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": _is_closed(schema)}}


def _is_closed(schema: Any) -> bool:
    """Tell whether each object in `schema` requires all its properties and allows no more, as `strict` demands."""
    if isinstance(schema, list):
        return all(_is_closed(item) for item in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if isinstance(properties, dict) or schema.get("type") == "object":
        names = set(properties) if isinstance(properties, dict) else set()
        if schema.get("additionalProperties") is not False or names != set(schema.get("required", ())):
            return False
    return all(_is_closed(value) for value in schema.values())


def _grammar(schema: JSONSchema) -> dict[str, Any]:
    return {"type": "json", "value": schema}


def _for_tgi(form: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's form as every version of TGI reads it; any other as it is."""
    if form.get("type") != "json_schema" or "json_schema" not in form:
        return form
    return {"type": "json_object", "value": form["json_schema"]["schema"]}
