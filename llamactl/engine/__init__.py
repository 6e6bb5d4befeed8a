"""llama.cpp with a Python face, through CFFI in API mode.

Example:
    >>> from llamactl.engine import Context, ContextParameters, Model, Sampler, generate
    >>> with Model("model.gguf") as model, Sampler(model) as sampler:
    ...     with Context(model, ContextParameters(n_ctx=512)) as context:
    ...         prompt = model.vocabulary.tokenize("Once upon a time")
    ...         generate(context, sampler, prompt, n_predict=32, on_text=print)
    ...         context.logits().numpy().argmax()
"""

from llamactl.engine.batch import Batch
from llamactl.engine.chat import ChatPrompt, Reply, Template, render, template_of
from llamactl.engine.common import process_escapes, schema_to_grammar
from llamactl.engine.context import BufferMemory, Context, DecodeAbortedError, DecodeError
from llamactl.engine.generation import Generated, generate
from llamactl.engine.kv_cache import KVCache
from llamactl.engine.library import Device, Versions, backends, cpu_features, devices, system_info, versions
from llamactl.engine.model import Model
from llamactl.engine.parameters import ContextParameters, ModelParameters
from llamactl.engine.sampling import GREEDY, Sampler
from llamactl.engine.sampling_parameters import ReasoningBudget, SamplingParameters
from llamactl.engine.views import FloatView, StaleViewError
from llamactl.engine.vocabulary import Vocabulary

__all__ = [
    "GREEDY",
    "Batch",
    "BufferMemory",
    "ChatPrompt",
    "Context",
    "ContextParameters",
    "DecodeAbortedError",
    "DecodeError",
    "Device",
    "FloatView",
    "Generated",
    "KVCache",
    "Model",
    "ModelParameters",
    "ReasoningBudget",
    "Reply",
    "Sampler",
    "SamplingParameters",
    "StaleViewError",
    "Template",
    "Versions",
    "Vocabulary",
    "backends",
    "cpu_features",
    "devices",
    "generate",
    "process_escapes",
    "render",
    "schema_to_grammar",
    "system_info",
    "template_of",
    "versions",
]
