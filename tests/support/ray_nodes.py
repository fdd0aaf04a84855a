"""A program that runs a Ray cluster of several nodes on 127.0.0.1, in its own folder.

It carries out the lines of its standard input, `add CPUS NAME=VALUE...` and `kill NODE`, and answers each. At its end
everything is killed.
"""

from __future__ import annotations

import os
import sys
from typing import Any

FAST_DEATH = {
    "health_check_initial_delay_ms": 2000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}
"""Settings with which Ray notices the loss of a node within seconds, not after 15."""


def main(temporary: str) -> None:
    """Start a head with one processor, print its address, and carry out commands."""
    from ray.cluster_utils import Cluster

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # Ray writes to stdout as well
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": FAST_DEATH, "temp_dir": temporary}
    cluster: Any = Cluster(initialize_head=True, head_node_args=head)
    nodes: list[Any] = []
    try:
        print(cluster.address, file=answers)
        for line in sys.stdin:
            word, number, *variables = line.split()
            if word == "add":
                environment = dict(variable.split("=") for variable in variables)
                nodes.append(cluster.add_node(num_cpus=int(number), wait=True, env_vars=environment))
                print(len(nodes) - 1, file=answers)
            else:
                cluster.remove_node(nodes[int(number)], allow_graceful=False)
                print("killed", file=answers)
    finally:
        for node in [*cluster.worker_nodes, cluster.head_node]:
            node.kill_all_processes(check_alive=False, allow_graceful=False, wait=False)


if __name__ == "__main__":
    main(sys.argv[1])
