"""Health, metrics and the document of the service, as operators see them."""

from __future__ import annotations

from tests.living import Lutra, as_file, photo, wait_until

PHOTO = as_file(photo(), quality=95)


def test_health_tells_what_is_there(lutra: Lutra) -> None:
    assert lutra.client.get("/livez").json() == {"status": "ok"}
    wait_until(lambda: len(lutra.children()) == 2, 120, "both children have loaded")
    told = lutra.client.get("/readyz?verbose").json()
    assert all(child["device"] and child["kernels"] for child in told["workers"].values())
    assert sorted(child["lane"] for child in told["workers"].values()) == ["bulk", "express"]
    assert told["queue"]["capacity"] == 100
    assert set(told["queue"]["lanes"]) == {"bulk", "express"}


def test_the_openapi_document_names_every_endpoint(lutra: Lutra) -> None:
    document = lutra.client.get("/openapi.json").json()
    assert {"/enhance", "/upscale", "/jobs/{id}", "/jobs/{id}/result", "/jobs/{id}/events", "/models"} <= set(
        document["paths"]
    )
    assert lutra.client.get("/docs").status_code == 200


def test_metrics_count_what_was_done(lutra: Lutra) -> None:
    key = '{model="bilinear",operation="upscale",outcome="succeeded"}'
    before = lutra.samples("lutra_jobs_finished_total")[key]
    for _ in range(5):
        lutra.post("/upscale?scale=2&model=bilinear", PHOTO)
    assert lutra.samples("lutra_jobs_finished_total")[key] == before + 5
    handlers = lutra.samples("http_requests_total")
    assert any('handler="/upscale"' in labels and 'status="200"' in labels for labels in handlers)
    wait_until(lambda: lutra.samples("lutra_workers_alive") == {"": 2.0}, 120, "a child for each lane is alive")
    assert lutra.samples("lutra_queue_capacity") == {'{lane="express"}': 90.0, '{lane="bulk"}': 90.0}
