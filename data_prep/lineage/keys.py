"""One name for a model under its many copies, and for a paper, repository or page under its many addresses."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

# Written in several parts: llama.cpp's types, MLC's, MLX's mixtures, "auto-round", VPTQ's code books.
QUANTISATION = re.compile(
    r"(?<![a-z0-9])(?:[it]?q[1-8](?:[_-](?:k|0|1|s|m|l|xl|xs|xxs|nl)){1,3}|q\db?f(?:16|32)|mixed[_-]\d[_-]\d(?:bit)?|"
    r"auto[_-]round|compressed[_-]tensors|v\d+-k\d+-\d+-woft)(?![a-z0-9])"
)
BITS = re.compile(r"(\d)[-_ .]?bits?(?![a-z])")
# Endings of names that tell the form of the weights, not what they are.
FORMS = set(
    "gguf ggufs ggml gptq gptqmodel nf4 awq autoawq exl2 exl3 mlx mlc bnb hqq eetq aqlm vptq quip spinquant higgs dwq qat autoround torchao "
    "8da4w quark smashed df11 imatrix imat i1 iq ud marlin hf safetensors llamafile onnx openvino ov ct2 ctranslate2 coreml mlpackage "
    "tflite litert executorch tensorrt trtllm directml cpu cuda qnn mnn ncnn rkllm rknn quantized quantised unquantized quant quants "
    "dynamic unsloth copy sharded f32 f16".split()
)
FORM = re.compile(
    r"\d+bit|q\d|qx\d+n?|\d*bpw|h[68]|gs?(?:32|64|128)|(?:32|64|128)g|u?int\d(?:wo|dq)?|(?:mx|nv|b)?f(?:p|loat)(?:4|6|8|16|32)(?:wo|dq|a16)?|"
    r"bf16|w\da(?:\d+|fp8)(?:kv\d+)?|e[45]m[23](?:fn)?|1x16|rk\d{4}"
)
# Behind one of those they tell more of it: FP8-KV, onnx-web, int4-sym, DWQ-053125. Alone they may be a model's own.
MORE = re.compile(
    r"\d+|v\d+|kv|block|static|channel|tensor|calib|sym|asym|mixed|cw|web|gqa|gpu|npu|genai|actorder|true|l?lm|rtn|eo8"
)
ARXIV_ID = re.compile(r"(?:arxiv\.)?(\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v\d+)?(?:\.pdf)?", re.IGNORECASE)
# Cited for what a model was made or served with, not for what it is. Without this list a small collection, where nothing is
# cited often, would be one family.
TOOLS = {
    *(f"repo:huggingface/{name}" for name in "transformers diffusers peft trl accelerate datasets tokenizers lighteval".split()),
    *(f"repo:{name}/llama.cpp" for name in ("ggerganov", "ggml-org")),
    "repo:vllm-project/vllm", "repo:sgl-project/sglang", "repo:ollama/ollama", "repo:eleutherai/lm-evaluation-harness",
    "repo:ukplab/sentence-transformers", "repo:google/sentencepiece", "repo:nvidia/nemo", "repo:nvidia/megatron-lm",
    "repo:unslothai/unsloth", "repo:axolotl-ai-cloud/axolotl", "repo:dao-ailab/flash-attention", "repo:microsoft/deepspeed",
    "page:mlco2.github.io/impact", "page:huggingface.co/spaces/huggingfaceh4/open_llm_leaderboard", "page:sites.research.google/trc",
    "page:sites.research.google/trc/about", "repo:pytorch/fairseq", "repo:facebookresearch/xformers",
    "paper:arxiv:1910.09700", "paper:arxiv:1810.03993", "paper:arxiv:1706.03762", "paper:arxiv:2106.09685", "paper:arxiv:2305.14314",
}  # fmt: skip
# A page ties where it is about one thing: an article, a data set, a project. Profiles, shops, licences, encyclopaedias,
# package indexes and manuals are cited by strangers, and a site's front page says who made a model, not what it is.
GENERAL_SITES = set(
    "twitter.com x.com linkedin.com facebook.com instagram.com tiktok.com reddit.com t.me patreon.com ko-fi.com buymeacoffee.com "
    "paypal.com fiverr.com scholar.google.com semanticscholar.org orcid.org behance.net github.com wikipedia.org wikidata.org "
    "britannica.com creativecommons.org choosealicense.com opensource.org licenses.ai apache.org gnu.org pypi.org anaconda.org "
    "readthedocs.io hf.space python.org pytorch.org tensorflow.org keras.io nvidia.com openai.com/policies google.com/search".split()
)
GENERAL_PATH = re.compile(
    r"(?:docs?|documentation|manual|api|licen[cs]es?|legal|terms|privacy|policies|about|contact|pricing|careers|install(?:ation)?|"
    r"login|sign-?up|join|home|index|[a-z]{2})(?:\.html?|\.php)?",
    re.IGNORECASE,
)
TRACKING = re.compile(r"utm_\w+|ref|source|fbclid|gclid|usp|si", re.IGNORECASE)
HUB = ("huggingface.co", "hf.co")
HUB_FOLDERS = {"datasets": 3, "spaces": 3, "blog": 2}  # parts of an address that names one thing


def stem(model_id: str) -> str | None:
    """The name without owner and without the endings of quantised, converted or re-uploaded copies.

    None for names too general to tie strangers' models: one word, or two without a digit.
    """
    name = BITS.sub(r"\1bit", model_id.rpartition("/")[2].lower())
    parts = [part for part in re.split(r"[\W_]+", QUANTISATION.sub("quant", name)) if part]
    while end := _form_at_the_end(parts):
        del parts[-end:]
    general = len(parts) < 2 or (len(parts) == 2 and not any(char.isdigit() for char in "".join(parts)))
    return None if general else "-".join(parts)


def _form_at_the_end(parts: list[str]) -> int:
    """How many of the last parts tell the form of the weights and what belongs to it. The first part is the model's own."""
    end = next((number for number, part in enumerate(reversed(parts)) if not MORE.fullmatch(part)), len(parts))
    if end >= len(parts) - 1 or not _is_form(last := parts[-1 - end]):
        return 0
    return end + 1 + (last.endswith("bpw") and end + 2 < len(parts) and parts[-2 - end].isdigit())


def _is_form(part: str) -> bool:
    return part in FORMS or FORM.fullmatch(part) is not None


def source_key(address: str) -> str | None:
    """One name for a paper, a repository or a page under its many addresses; None for what says nothing of one model."""
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return None
    path = [unquote(part) for part in parts.path.split("/") if part]
    if host in ("doi.org", "dx.doi.org"):
        paper = _arxiv("/".join(path[1:])) if path[:1] == ["10.48550"] else None
        return paper or (f"paper:doi:{'/'.join(path).lower()}" if len(path) > 1 else None)
    if host.endswith("arxiv.org") or host in ("alphaxiv.org", "ar5iv.org") or (host in HUB and path[:1] == ["papers"]):
        return _arxiv("/".join(path[1:]))
    if (host == "aclanthology.org" and path) or (host == "aclweb.org" and path[:1] == ["anthology"] and len(path) > 1):
        return f"paper:acl:{path[-1].removesuffix('.pdf').lower()}"
    if host == "openreview.net":
        return f"paper:openreview:{found['id']}" if (found := dict(parse_qsl(parts.query))).get("id") else None
    if host in ("github.com", "raw.githubusercontent.com") and len(path) > 1:
        return f"repo:{path[0]}/{path[1].removesuffix('.git')}".lower()
    return _page(parts, host, path)


def _page(parts: SplitResult, host: str, path: list[str]) -> str | None:
    if host in HUB:
        size = HUB_FOLDERS.get(path[0] if path else "")
        return f"page:{HUB[0]}/{'/'.join(path[:size]).lower()}" if size and len(path) >= size else None
    sites = {host, ".".join(host.split(".")[-2:]), f"{host}/{path[0]}" if path else ""}
    if sites & GENERAL_SITES or host.startswith("docs.") or all(GENERAL_PATH.fullmatch(part) for part in path):
        return None
    query = urlencode(sorted(pair for pair in parse_qsl(parts.query) if not TRACKING.fullmatch(pair[0])))
    return f"page:{host}/{'/'.join(path)}" + (f"?{query}" if query else "")


def training_only(address: str, common_sources: Collection[str]) -> bool:
    """True where notes on a page may serve training cards only: it is in the `common_sources` of split.json, or no card's own."""
    key = source_key(address)
    return key is None or key in common_sources


def _arxiv(text: str) -> str | None:
    found = ARXIV_ID.fullmatch(text)
    return f"paper:arxiv:{found[1].lower()}" if found else None
