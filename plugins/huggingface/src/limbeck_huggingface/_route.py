"""The address and the key of requests, found once, before the first one. Finding them blocks, so a thread does it.

This module imports huggingface_hub; it is imported when a backend is loaded or first asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub import __version__ as hub_version
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.inference._providers import get_provider_helper

from limbeck.backends import Secrets, ServerAddress, check_environment, decoded, find_key
from limbeck.errors import BadRequestError, ConfigurationError, MissingCredentialError, TransientError

from . import __version__
from ._failures import failure
from ._prompts import Prompter, load_tokenizer, require

if TYPE_CHECKING:
    from collections.abc import Callable

    from huggingface_hub.inference._common import RequestParameters
    from huggingface_hub.inference._providers._common import TaskProviderHelper

_T = TypeVar("_T")

# Given to the SDK in place of no key: with None it would look for a saved one, on disk, at every request.
_NO_KEY = "none"

# When to ask again for an endpoint that is starting, in seconds.
_STARTING = 15.0


@dataclass(frozen=True, slots=True)
class Route:
    """All that stays the same from request to request.

    Attributes:
        helper: the SDK's way of putting a request to this provider.
        model: what the helper is asked for: a hub id, or the server's URL.
        payload_model: the name that goes into a chat request; None leaves it to the helper.
        key: the key in use, or None.
        subject: who is asked, for messages.
        root: the URL of the server, where it is known; its `/info` says what it can do.
        prompter: what makes a prompt of a chat; None where the chat itself is sent.
        headers: sent with every request, in place of the SDK's of the same name; None takes one away.
        query: sent with every request's URL; it may hold a secret.
    """

    helper: TaskProviderHelper
    model: str
    payload_model: str | None
    key: str | None = field(repr=False)
    subject: str
    root: str | None
    prompter: Prompter | None
    headers: dict[str, Any]
    query: str = field(default="", repr=False)

    @property
    def secrets(self) -> Secrets:
        """The secrets that no message may show."""
        return Secrets(self.key or "", *ServerAddress("", self.query).secrets)

    def prepare(self, inputs: Any, parameters: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """URL, headers and body of one request."""
        request = self.request(inputs, parameters)
        payload = request.json
        assert isinstance(payload, dict)
        if "prompt" in payload and "max_new_tokens" in payload:
            # Some helpers leave TGI's name in a request of OpenAI's form, whose servers then cut the answer short.
            payload["max_tokens"] = payload.pop("max_new_tokens")
        return request.url, request.headers, payload

    def request(self, inputs: Any, parameters: dict[str, Any]) -> RequestParameters:
        """One request, as the SDK's helper makes it."""
        return self.helper.prepare_request(
            inputs=inputs, parameters=parameters, headers=self.headers, model=self.model, api_key=self.key or _NO_KEY
        )

    def content(self, answer: bytes, request: RequestParameters) -> bytes:
        """The file that an answer holds, or tells the way to; the helper of some providers asks again, and blocks.

        Raises:
            TransientError: it holds none.
        """
        try:
            content = self.helper.get_response(answer, request)
        except Exception as exc:  # noqa: BLE001 - the isolation boundary of the SDK's helpers: one answer
            reason = self.secrets.redact(f"{type(exc).__name__}: {exc}")
            raise TransientError(f"{self.subject} sent an answer without a file: {reason}") from None
        if not isinstance(content, bytes) or not content:
            raise TransientError(f"{self.subject} sent an answer without a file.")
        return content

    def values(self, answer: Any) -> Any:
        """The numbers in an answer, whichever provider's it is.

        Raises:
            TransientError: it is in no form that the helper knows.
        """
        try:
            return self.helper.get_response(answer)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError):
            raise TransientError(f"{self.subject} sent an answer without vectors.") from None

    def generated(self, answer: Any) -> Any:
        """The answer of text generation in TGI's form, whichever provider's it is.

        Raises:
            TransientError: it is in no form that the helper knows.
        """
        if isinstance(answer, list) and answer:
            answer = answer[0]
        try:
            return self.helper.get_response(answer)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError):
            raise TransientError(f"{self.subject} sent an answer without a text.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFinder:
    """Finds the route that a backend's fields describe; they are explained there.

    Attributes:
        key: the key that was given, or None. query: of the URL of `base_url`.
        chat: whether chats are sent, or text. task: what else is asked for, as the Hub names it; it needs no tokenizer.
    """

    model_id: str | None
    endpoint_name: str | None
    endpoint_namespace: str | None
    base_url: str | None
    served_model_name: str | None
    tokenizer_id: str | None
    provider: str
    key: str | None = field(repr=False)
    query: str = field(repr=False)
    bill_to: str | None
    chat: bool
    timeout: float
    needed_by: str
    task: str | None = None

    @property
    def _task(self) -> str:
        return self.task or ("conversational" if self.chat else "text-generation")

    def check(self) -> None:
        """Check all that can be checked without the network.

        Raises:
            ConfigurationError: something is missing or wrong.
        """
        if not self.chat:
            self._require_tokenizer()
        find_key(self.bill_to, field="bill_to")
        check_environment(self.base_url or constants.ENDPOINT, socks="socksio")
        if self.base_url is not None:
            self._key_for(self.base_url)
            return
        _check_online()
        self._needed_key()
        if self.model_id is not None and self.provider != "auto":
            self._helper(self.model_id)

    def find(self) -> Route:
        """Find the route.

        Raises:
            GenerationError: Hugging Face could not be asked, or says that there is none.
            ConfigurationError: as `check` does, or the tokenizer cannot be loaded.
        """
        if self.base_url is not None:
            served = self.served_model_name or self.model_id
            subject = f"The server at {self.base_url}"
            return self._to_url(self.base_url, served, key=self._key_for(self.base_url), subject=subject)
        if self.model_id is not None:
            return self._to_provider(self.model_id)
        assert self.endpoint_name is not None
        return self._to_endpoint(self.endpoint_name)

    def _to_provider(self, model: str) -> Route:
        _check_online()
        key = self._needed_key()
        subject = f"Hugging Face (model {model!r}, provider {self.provider!r})"
        route = Route(
            helper=_asking_the_hub(lambda: self._helper(model), subject=subject, key=key),
            model=model,
            payload_model=model,
            key=key,
            subject=subject,
            root=None,
            prompter=self._prompter(key),
            headers=_headers(key, **({constants.HUGGINGFACE_HEADER_X_BILL_TO: self.bill_to} if self.bill_to else {})),
        )
        # The helper asks the Hub, blocking, whether the provider serves the model, and keeps the answer.
        _asking_the_hub(lambda: route.prepare([] if self.chat else "", {}), subject=subject, key=key)
        return route

    def _to_endpoint(self, name: str) -> Route:
        _check_online()
        key = self._needed_key()
        endpoint = _find_endpoint(name, self.endpoint_namespace, key=key)
        served = self.served_model_name or endpoint.repository
        return self._to_url(endpoint.url, served, key=key, subject=endpoint.subject)

    def _to_url(self, url: str, served: str | None, *, key: str | None, subject: str) -> Route:
        root = url.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1")
        # A dedicated endpoint that sleeps answers 503 at once, unless it is asked to hold the request (seconds):
        # https://huggingface.co/docs/inference-endpoints/guides/autoscaling
        hold = {"x-scale-up-timeout": str(int(self.timeout))} if self.endpoint_name or _is_hugging_face(url) else {}
        return Route(
            helper=get_provider_helper("hf-inference", task=self._task, model=url),
            model=url if self.chat else root,
            payload_model=served,
            key=key,
            subject=subject,
            root=root,
            prompter=self._prompter(key),
            headers=_headers(key, **hold),
            query=self.query,
        )

    def _helper(self, model: str) -> TaskProviderHelper:
        try:
            return get_provider_helper(self.provider, task=self._task, model=model)  # type: ignore[arg-type]  # it checks
        except ValueError as exc:
            raise ConfigurationError(f"The provider {self.provider!r} cannot be used for {model!r}: {exc}") from None

    def _prompter(self, key: str | None) -> Prompter | None:
        if self.chat:
            return None
        assert self.tokenizer_id is not None
        self._require_tokenizer()
        token = key if key and key.startswith("hf_") else None
        return Prompter(load_tokenizer(self.tokenizer_id, token=token))

    def _require_tokenizer(self) -> None:
        for package in ("transformers", "jinja2"):
            require(package, needed_by=f"{self.needed_by} with `tokenizer_id`", extra="tokenizer")

    def _needed_key(self) -> str:
        key = _find_key(self.key)
        if key is None:
            raise MissingCredentialError(needed_by=self.needed_by, variable="HF_TOKEN")
        if self.model_id and self.base_url is None and self.provider == "auto" and not key.startswith("hf_"):
            raise ConfigurationError(
                "Hugging Face's router takes Hugging Face keys only, which begin with `hf_`. "
                "With the key of a provider, name it in `provider`."
            )
        return key

    def _key_for(self, url: str) -> str | None:
        """The key for a server of one's own: the saved Hugging Face token goes to Hugging Face's hosts only."""
        return _find_key(self.key) if self.key or _is_hugging_face(url) else None


def _headers(key: str | None, **more: str) -> dict[str, Any]:
    # The SDK's user agent tells which torch and which coding agent are in use.
    headers: dict[str, Any] = {"user-agent": f"limbeck-huggingface/{__version__}; hf_hub/{hub_version}", **more}
    return headers if key else {**headers, "authorization": None}


def _find_key(given: str | None) -> str | None:
    return find_key(given, "HF_TOKEN") or find_key(get_token(), field="hf auth login")


def _is_hugging_face(url: str) -> bool:
    """Tell whether `url` is the Hub, its router or a dedicated endpoint. (A Space is its author's.)"""
    host = urlsplit(url).hostname or ""
    return host in constants.HF_URL_HOSTS or host.endswith((".huggingface.co", ".endpoints.huggingface.cloud"))


def _check_online() -> None:
    if constants.HF_HUB_OFFLINE:
        raise ConfigurationError(
            "HF_HUB_OFFLINE is set, so Hugging Face cannot be asked. "
            "Unset it, or name a server of your own with `base_url`."
        )


def _asking_the_hub(ask: Callable[[], _T], *, subject: str, key: str | None) -> _T:
    """Return what `ask` returns, and raise the failures of the Hub's API as Limbeck's errors."""
    # `from None`: the SDK's errors hold the request, and with it the key.
    try:
        return ask()
    except HfHubHTTPError as exc:
        answer = exc.response
        refused = failure(
            answer.status_code, answer.headers, decoded(answer.content), subject=subject, secrets=Secrets(key or "")
        )
        raise refused from None
    except httpx2.HTTPError as exc:
        raise TransientError(f"{subject} could not be looked up at Hugging Face: {_redacted(exc, key)}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise BadRequestError(f"{subject} cannot be used: {_redacted(exc, key)}") from None


def _redacted(exc: Exception, key: str | None) -> str:
    return Secrets(key or "").redact(str(exc))


@dataclass(frozen=True, slots=True)
class _Endpoint:
    url: str
    repository: str
    subject: str


def _find_endpoint(name: str, namespace: str | None, *, key: str) -> _Endpoint:
    subject = f"The endpoint {name!r}"
    found = _asking_the_hub(
        lambda: HfApi(token=key).get_inference_endpoint(name, namespace=namespace), subject=subject, key=key
    )
    status = str(getattr(found.status, "value", found.status))
    if status == "paused":
        raise BadRequestError(f"{subject} is paused. Run: hf endpoints resume {name} --namespace {found.namespace}")
    if status == "failed":
        page = f"https://endpoints.huggingface.co/{found.namespace}/endpoints/{name}"
        raise BadRequestError(f"{subject} has failed to start. Its logs are at {page}")
    if found.url is None:
        raise TransientError(f"{subject} is not up yet: its state is {status!r}.", retry_after=_STARTING)
    if status == "scaledToZero":
        subject += " (scaled to zero when the run began; a request wakes it, which takes minutes)"
    return _Endpoint(url=found.url, repository=found.repository, subject=subject)
