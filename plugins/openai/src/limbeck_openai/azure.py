"""Azure OpenAI, by deployment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlsplit

from pydantic import Field, PositiveInt, PrivateAttr, SecretStr, field_validator

from limbeck import LLM
from limbeck.errors import ConfigurationError, MissingCredentialError
from limbeck.types import Capabilities

from ._connections import Connections
from ._request import chat_query, check_parameters
from ._sdk import import_sdk
from ._url import checked_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from limbeck.types import GenerationRequest, GenerationResponse

    from ._chat import Chat


class AzureOpenAILLM(LLM):
    """A model deployed in an Azure OpenAI resource, through its dated API.

    A resource's undated `/openai/v1` is a server for `OpenAILLM(base_url=…)`.

    Example:
        >>> llm = AzureOpenAILLM(model="gpt-4o", azure_deployment="team-4o", azure_endpoint="https://acme.openai.azure.com")
        >>> llm.model_name
        'gpt-4o'

    Attributes:
        model: the model's name, and the deployment's where `azure_deployment` is not given.
        azure_deployment: the deployment, where it is not named after the model.
        azure_endpoint: the resource, as in `https://acme.openai.azure.com`; by default the
            environment variable `AZURE_OPENAI_ENDPOINT`.
        api_version: by default the environment variable `OPENAI_API_VERSION`.
        api_key: by default the environment variable `AZURE_OPENAI_API_KEY`.
        azure_ad_token: a Microsoft Entra token, instead of a key; by default the environment
            variable `AZURE_OPENAI_AD_TOKEN`, which goes before that of the key.
        max_choices: answers asked for in one request at most; the engine asks for the rest.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        native_n=True, native_json_schema=True, tools=True, vision=True, logprobs=True
    )
    transport_fields: ClassVar[frozenset[str]] = frozenset({"api_key", "azure_ad_token", "max_choices"})

    model: str = Field(min_length=1)
    azure_deployment: str | None = None
    azure_endpoint: str | None = None
    api_version: str | None = None
    api_key: SecretStr | None = None
    azure_ad_token: SecretStr | None = None
    max_choices: PositiveInt = 128
    _connections: Connections = PrivateAttr(default_factory=Connections)

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        if self.api_key and self.azure_ad_token:
            raise ConfigurationError("`AzureOpenAILLM` takes either `api_key` or `azure_ad_token`, not both.")

    @field_validator("azure_endpoint")
    @classmethod
    def _check_endpoint(cls, azure_endpoint: str | None) -> str | None:
        return None if azure_endpoint is None else checked_url(azure_endpoint, name="`azure_endpoint`")

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def identity(self) -> dict[str, Any]:
        deployed = {
            "azure_endpoint": self._endpoint(),
            "azure_deployment": self._deployment,
            "api_version": self._version(),
        }
        base_url = f"{self._endpoint()}/openai/deployments/{quote(self._deployment, safe='')}"
        return {**super().identity, **deployed, "base_url": base_url}

    def check_generation_kwargs(self, generation_kwargs: Mapping[str, Any]) -> None:
        """Raise `ConfigurationError` for a parameter that the installed SDK's chat completions do not take."""
        check_parameters(generation_kwargs, owner=type(self).__name__)

    def load(self) -> None:
        """Check that the SDK, the endpoint, the version and credentials are there. No network.

        Raises:
            MissingDependencyError: the SDK, or its aiohttp extra, is not installed.
            MissingCredentialError: there is neither a key nor a token.
            ConfigurationError: the endpoint or the version is missing.
        """
        import_sdk()
        self._endpoint()
        self._version()
        self._credentials()

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        """Send one request, once."""
        # The SDK builds the path from the body's model: there it is the deployment.
        query = chat_query(
            request, model=self._deployment, generation_kwargs=self.generation_kwargs, max_choices=self.max_choices
        )
        chat = await self._connections.get(self._connect)
        return await chat.complete(query)

    async def aclose(self) -> None:
        """Close the running event loop's client; a later request makes a new one."""
        await self._connections.aclose()

    def _connect(self) -> Chat:
        import_sdk()
        import openai

        from ._chat import Chat, http_client, timeouts

        credentials = self._credentials()
        client = openai.AsyncAzureOpenAI(
            azure_endpoint=self._endpoint(),
            api_version=self._version(),
            max_retries=0,
            timeout=timeouts(self.timeout),
            http_client=http_client(connections=self.max_concurrency, timeout=self.timeout),
            api_key=credentials.get("api_key"),
            azure_ad_token=credentials.get("azure_ad_token"),
        )
        return Chat(client, server=urlsplit(self._endpoint()).netloc, secrets=list(credentials.values()))

    @property
    def _deployment(self) -> str:
        return self.azure_deployment or self.model

    def _endpoint(self) -> str:
        if self.azure_endpoint:
            return self.azure_endpoint
        return checked_url(_setting("AZURE_OPENAI_ENDPOINT", field="azure_endpoint"), name="`AZURE_OPENAI_ENDPOINT`")

    def _version(self) -> str:
        return self.api_version or _setting("OPENAI_API_VERSION", field="api_version")

    def _credentials(self) -> dict[str, str]:
        """The one credential, under the SDK's name for it, found in the SDK's order."""
        for name, given in (("api_key", self.api_key), ("azure_ad_token", self.azure_ad_token)):
            if given and (secret := given.get_secret_value().strip()):
                return {name: secret}
        for name, variable in (("azure_ad_token", "AZURE_OPENAI_AD_TOKEN"), ("api_key", "AZURE_OPENAI_API_KEY")):
            if secret := os.environ.get(variable, "").strip():
                return {name: secret}
        raise MissingCredentialError(needed_by="`AzureOpenAILLM`", variable="AZURE_OPENAI_API_KEY")


def _setting(variable: str, *, field: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConfigurationError(
            f"`AzureOpenAILLM` has no `{field}`. Set the environment variable `{variable}`, or pass `{field}=`."
        )
    return value
