"""Run as a process of its own: tells its own peak memory and nothing else."""

import json

from benchmarks.measure import peak_gb

if __name__ == "__main__":
    print(json.dumps({"peak_gb": peak_gb()}))
