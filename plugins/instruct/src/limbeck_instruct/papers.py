"""The papers that several tasks are of, as BibTeX."""

from __future__ import annotations

from typing import Final

DEITA: Final = """\
@misc{liu2024deita,
    title={What Makes Good Data for Alignment? A Comprehensive Study of Automatic Data Selection in Instruction Tuning},
    author={Wei Liu and Weihao Zeng and Keqing He and Yong Jiang and Junxian He},
    year={2024},
    eprint={2312.15685},
    archivePrefix={arXiv},
}"""

MATH_SHEPHERD: Final = """\
@misc{wang2024mathshepherd,
    title={Math-Shepherd: Verify and Reinforce LLMs Step-by-step without Human Annotations},
    author={Peiyi Wang and Lei Li and Zhihong Shao and R. X. Xu and Damai Dai and Yifei Li and Deli Chen and Y. Wu and \
Zhifang Sui},
    year={2024},
    eprint={2312.08935},
    archivePrefix={arXiv},
}"""

WIZARDLM: Final = """\
@misc{xu2023wizardlm,
    title={WizardLM: Empowering Large Language Models to Follow Complex Instructions},
    author={Can Xu and Qingfeng Sun and Kai Zheng and Xiubo Geng and Pu Zhao and Jiazhan Feng and Chongyang Tao and \
Daxin Jiang},
    year={2023},
    eprint={2304.12244},
    archivePrefix={arXiv},
}"""
