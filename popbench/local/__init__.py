"""Helpers for plugins that run models on this machine: files, chats, contexts, memory, devices. Public.

Takes a model or a data set by its name or folder; hands on its files, and what they lack or must not be followed to.
Heavy libraries are imported when they are used. No family of models is built in: a `Layout` describes one.
"""

from popbench.local.chats import ChatFormat, Encoded, closes_thoughts
from popbench.local.code import asks_for_kernels
from popbench.local.contexts import context_of
from popbench.local.data_places import check_card, plain_places
from popbench.local.devices import device_problem, gpu_count, gpu_memory
from popbench.local.files import broken_weights, is_folder, lacks_shards, read_json, user_path, weight_files
from popbench.local.layout import Layout, file_digest, folder_digest
from popbench.local.memory import GIB, free_memory, is_out_of_memory, machine_memory, peak_memory, release_memory
from popbench.local.quiet import quiet
from popbench.local.weights import Weights

__all__ = [
    "GIB",
    "ChatFormat",
    "Encoded",
    "Layout",
    "Weights",
    "asks_for_kernels",
    "broken_weights",
    "check_card",
    "closes_thoughts",
    "context_of",
    "device_problem",
    "file_digest",
    "folder_digest",
    "free_memory",
    "gpu_count",
    "gpu_memory",
    "is_folder",
    "is_out_of_memory",
    "lacks_shards",
    "machine_memory",
    "peak_memory",
    "plain_places",
    "quiet",
    "read_json",
    "release_memory",
    "user_path",
    "weight_files",
]
