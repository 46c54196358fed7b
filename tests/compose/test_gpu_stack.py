"""The stack of a GPU host, as far as it can be seen on a machine that has no GPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compose.conftest import CPU, GPU
from tests.compose.stack import Stack, megabytes, note, timed
from tests.servers import ROOT

LETTER = ROOT / "tests" / "samples" / "letter.png"
NO_DEVICE = """
services:
  worker: {deploy: {resources: {reservations: {devices: !reset []}}}}
  trainer: {deploy: {resources: {reservations: {devices: !reset []}}}}
"""


@pytest.fixture(scope="module")
def stack(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run the GPU stack without the reservation of a device."""
    override = tmp_path_factory.mktemp("gpu") / "override.yml"
    override.write_text(NO_DEVICE)
    # PyTorch comes from the package index, which has it for CUDA.
    with Stack("gpu", CPU, GPU, override, WHEELS_DIR="") as running:
        with timed("build the image of the GPU worker, or find it built"):
            running.compose("build", "worker", timeout=1800)
        note("image: GPU worker", f"{megabytes('localhost/copyist-worker-gpu:latest'):.0f} MB")
        running.compose("up", "--detach")
        running.await_ready(180)
        yield running


def test_the_files_reserve_a_gpu_and_know_vllm(engine: None) -> None:
    with Stack("gpu-config", CPU, GPU, profiles="vllm,s3") as stack:
        services = stack.config()["services"]
    assert services.keys() >= {
        "api",
        "worker",
        "worker-cpu",
        "trainer",
        "beat",
        "flower",
        "postgres",
        "redis",
        "migrate",
        "vllm",
        "s3",
    }
    for name in ("worker", "trainer", "vllm"):
        (device,) = services[name]["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])
    assert "devices" not in str(services["worker-cpu"]["deploy"])
    worker = services["worker"]["environment"]
    assert (worker["OCR_BACKEND"], worker["DOTS_OCR_MODEL_PATH"]) == ("dots", "/app/weights/DotsOCR")
    for name in ("worker", "trainer"):
        assert services[name]["build"]["dockerfile"] == "docker/worker/Dockerfile.gpu"
    assert "--chat-template-content-format=string" in services["vllm"]["command"]


def test_without_a_gpu_the_worker_says_why_and_reads_by_the_chain(stack: Stack) -> None:
    assert "OCR engine dots is not ready: " in stack.logs("worker")
    job = stack.read(LETTER, text="force")
    assert job["status"] == "completed"
    trail = stack.client.get(f"/api/jobs/{job['id']}/pages/1").json()["trail"]
    assert [one["outcome"] for one in trail if one["engine"] == "dots"] == ["not_ready"], trail
    assert "Lighthouse Library" in stack.text(job["id"])


def test_the_worker_has_cuda_torch_and_what_models_need(stack: Stack) -> None:
    script = (
        "import torch, transformers, bitsandbytes, accelerate; print(torch.version.cuda, torch.cuda.is_available())"
    )
    cuda, there = stack.inside("worker", "python", "-c", script).splitlines()[-1].split()
    note("GPU worker: PyTorch is built for CUDA", cuda)
    assert (cuda != "None", there) == (True, "False")


def test_a_cpu_worker_reads_beside_it(stack: Stack) -> None:
    engines = {one["name"]: one for one in stack.client.get("/api/engines").json()}
    assert engines["tesseract"]["workers"] == 2
    assert "rapidocr" in stack.logs("worker-cpu") or "easyocr" in stack.logs("worker-cpu")
