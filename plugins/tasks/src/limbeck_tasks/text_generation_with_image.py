"""`text-generation-with-image`: a prompt and an image from a row, and the model's text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from limbeck import Task
from limbeck.types import Example, image

from .prompts import null_column, system_prompt_for
from .template_columns import check_columns, columns_in
from .templates import prompt_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import ChatType, MediaPart, Row

# One red pixel.
_RED = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)


class TextGenerationWithImage(Task):
    """Ask the model about an image, with a prompt made of the row's columns, and keep its text.

    Input columns: those in `columns`; `image`, an image or a list of them; `system_prompt` (optional), which wins over
    the attribute where it is not empty. Output columns: `generation`, the model's text as it came; `model_name`.

    An image is whatever `limbeck.types.image` takes: a path, bytes, a PIL image, an http(s) or `data:` URL, an `Image`
    value of `datasets`. It stands behind the text. One that is not there, or is none, fails its row before anything is
    sent. The LLM must declare that it takes images (`capabilities.vision`).

    Attributes:
        system_prompt, template, columns: as of `TextGeneration`.
        image_type: "auto" for whatever an image may be. "url": http(s) and `data:` URLs only, so that no file of this
            machine is read for rows of somebody else's. "base64": the texts are bare base64. "PIL": images of Pillow
            only.
        detail: how closely a model of OpenAI's looks at the image.
    """

    needs: ClassVar[tuple[str, ...]] = ("vision",)

    system_prompt: str | None = None
    template: str = "{{ instruction }}"
    columns: str | list[str] = "instruction"
    image_type: Literal["auto", "url", "base64", "PIL"] = "auto"
    detail: Literal["low", "high", "auto", "original"] | None = None

    def model_post_init(self, context: Any, /) -> None:
        given = "template" in self.model_fields_set
        if given and "columns" not in self.model_fields_set:
            self.__dict__["columns"] = columns_in(self.template)  # not counted as set by the user
        check_columns(self.template, self._columns, owner=type(self).__name__, given=given)
        super().model_post_init(context)

    @property
    def _columns(self) -> list[str]:
        return [self.columns] if isinstance(self.columns, str) else self.columns

    @property
    def inputs(self) -> dict[str, bool]:
        return {"system_prompt": False, **dict.fromkeys(self._columns, True), "image": True}

    @property
    def outputs(self) -> list[str]:
        return ["generation", "model_name"]

    def format_input(self, input: Row) -> ChatType:
        prompt = prompt_template(self.template).render(input, self._columns)
        images = input["image"] if isinstance(input["image"], list) else [input["image"]]
        if not images:
            raise ValueError("The column `image` holds no image.")
        content: list[dict[str, Any]] = [{"type": "text", "text": prompt}, *map(self._part, images)]
        system_prompt = system_prompt_for(input, self.system_prompt)
        system: ChatType = [{"role": "system", "content": system_prompt}] if system_prompt else []
        return [*system, {"role": "user", "content": content}]

    def _part(self, value: Any) -> MediaPart:
        if value is None:
            raise null_column("image")
        self._check_type(value)
        if self.image_type == "base64" and isinstance(value, str):
            value = f"data:;base64,{value.partition(',')[2] if value.startswith('data:') else value}"
        return image(value, detail=self.detail)

    def _check_type(self, value: Any) -> None:
        """Raise unless the value is of the `image_type`.

        Raises:
            TypeError: it is another.
        """
        urls = ("http://", "https://", "data:")
        fits = {
            "auto": True,
            "url": isinstance(value, str) and value.lower().startswith(urls),
            "base64": isinstance(value, str | bytes),
            "PIL": hasattr(value, "save") and hasattr(value, "mode"),
        }
        if not fits[self.image_type]:
            what = (
                "a text that is no URL" if isinstance(value, str) else f"a value of the type `{type(value).__name__}`"
            )
            raise TypeError(f"The column `image` holds {what}, and `image_type` is {self.image_type!r}.")

    def format_output(self, output: str | None, input: Row) -> Row:  # noqa: ARG002 - the text is the answer
        return {"generation": output}

    def examples(self) -> Sequence[Example]:
        """One, where the prompt is a single column and images may be texts."""
        plain = len(self._columns) == 1 and self.template == f"{{{{ {self._columns[0]} }}}}"
        if not plain or self.image_type == "PIL":
            return ()
        answer = "It is red."
        row = {self._columns[0]: "Which colour is it?", "image": _RED}
        return [Example(row, answer, {"generation": answer})]
