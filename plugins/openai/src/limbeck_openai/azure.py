"""Azure OpenAI, by deployment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlsplit

from pydantic import Field, PositiveInt, PrivateAttr, SecretStr

from limbeck import LLM
from limbeck.backends import ClientPerLoop, ServerAddress, check_environment, find_key
from limbeck.errors import ConfigurationError, MissingCredentialError
from limbeck.types import Capabilities

from ._media import check_media
from ._request import chat_query, check_parameters
from ._sdk import CUSTOM_HEADERS, account, import_sdk
from ._url import checked_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from limbeck.types import GenerationRequest, GenerationResponse

    from ._chat import Chat  # noqa: TC004 - pydantic leaves the type of a private attribute alone


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
        url_query: the query of every request's URL beside the version; what stands behind the `?` of
            `azure_endpoint` is put here. It is kept as a key is: neither shown nor stored.
        max_response_bytes: bytes of one response at most, unpacked; a longer one fails its row.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        native_n=True,
        native_json_schema=True,
        tools=True,
        vision=True,
        logprobs=True,
        audio=True,
        documents=True,
    )
    transport_fields: ClassVar[frozenset[str]] = frozenset(
        {"api_key", "azure_ad_token", "max_choices", "max_response_bytes"}
    )

    model: str = Field(min_length=1)
    azure_deployment: str | None = None
    azure_endpoint: str | None = None
    api_version: str | None = None
    api_key: SecretStr | None = None
    azure_ad_token: SecretStr | None = None
    max_choices: PositiveInt = 128
    url_query: SecretStr | None = None
    max_response_bytes: PositiveInt = 32 * 2**20
    _connections: ClientPerLoop[Chat] = PrivateAttr(default_factory=ClientPerLoop)

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        if self.api_key and self.azure_ad_token:
            raise ConfigurationError("`AzureOpenAILLM` takes either `api_key` or `azure_ad_token`, not both.")
        if self.azure_endpoint is not None:
            address = checked_address(self.azure_endpoint, name="`azure_endpoint`")
            self.azure_endpoint = address.url
            if address.query:
                self.url_query = address.query_beside(self.url_query, name="`azure_endpoint`")

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def identity(self) -> dict[str, Any]:
        address = self._address()
        deployed = {
            "azure_endpoint": address.url,
            "azure_deployment": self._deployment,
            "api_version": self._version(),
        }
        base_url = f"{address.url}/openai/deployments/{quote(self._deployment, safe='')}"
        return {**super().identity, **deployed, "base_url": base_url, **address.identity}

    def check_generation_kwargs(self, generation_kwargs: Mapping[str, Any]) -> None:
        """Raise `ConfigurationError` for a parameter that the installed SDK's chat completions do not take."""
        check_parameters(generation_kwargs, owner=type(self).__name__)

    def load(self) -> None:
        """Check that the SDK, the endpoint, the version and credentials are there. No network.

        Raises:
            MissingDependencyError: the SDK, or its aiohttp extra, is not installed.
            MissingCredentialError: there is neither a key nor a token.
            ConfigurationError: the endpoint or the version is missing, or an environment variable cannot be used.
        """
        import_sdk()
        self._version()
        self._credentials()
        account()
        check_environment(self._address().url, headers=CUSTOM_HEADERS)

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        """Send one request, once."""
        check_media(request.messages)
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

        address, credentials = self._address(), self._credentials()
        organization, project = account()
        check_environment(address.url, headers=CUSTOM_HEADERS)
        client = openai.AsyncAzureOpenAI(
            azure_endpoint=address.url,
            api_version=self._version(),
            organization=organization,
            project=project,
            max_retries=0,
            timeout=timeouts(self.timeout),
            http_client=http_client(
                address,
                connections=self.max_concurrency,
                timeout=self.timeout,
                max_response_bytes=self.max_response_bytes,
            ),
            api_key=credentials.get("api_key"),
            azure_ad_token=credentials.get("azure_ad_token"),
        )
        secrets = [*address.secrets, *credentials.values()]
        return Chat(client, server=urlsplit(address.url).netloc, secrets=secrets)

    @property
    def _deployment(self) -> str:
        return self.azure_deployment or self.model

    def _address(self) -> ServerAddress:
        """The address of the resource, with the query in effect."""
        given = self.azure_endpoint or _setting("AZURE_OPENAI_ENDPOINT", field="azure_endpoint")
        address = checked_address(given, name="`AZURE_OPENAI_ENDPOINT`")
        return address.with_query(self.url_query)

    def _version(self) -> str:
        return self.api_version or _setting("OPENAI_API_VERSION", field="api_version")

    def _credentials(self) -> dict[str, str]:
        """The one credential, under the SDK's name for it, found in the SDK's order."""
        for name, given in (("api_key", self.api_key), ("azure_ad_token", self.azure_ad_token)):
            if given and (secret := find_key(given.get_secret_value(), field=name)):
                return {name: secret}
        for name, variable in (("azure_ad_token", "AZURE_OPENAI_AD_TOKEN"), ("api_key", "AZURE_OPENAI_API_KEY")):
            if secret := find_key(None, variable):
                return {name: secret}
        raise MissingCredentialError(needed_by="`AzureOpenAILLM`", variable="AZURE_OPENAI_API_KEY")


def _setting(variable: str, *, field: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConfigurationError(
            f"`AzureOpenAILLM` has no `{field}`. Set the environment variable `{variable}`, or pass `{field}=`."
        )
    return value
