from dataclasses import fields

import pytest
import torch

from humanlrm.views import Batch, Inputs, Supervision, collate


def sample(value: float) -> Batch:
    def full(*shape: int) -> torch.Tensor:
        return torch.full(shape, value)

    return Batch(
        Inputs(full(5, 8, 8), full(19, 4), full(19, 2, 480)),
        Supervision(
            full(6, 3),
            full(6),
            full(4, 3),
            full(4, 3),
            full(4, 3),
            full(2, 3, 3),
            full(19, 3),
            teacher_landmarks=full(19, 3),
        ),
    )


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    return {
        f.name: getattr(part, f.name)
        for part in (batch.inputs, batch.supervision)
        for f in fields(part)
        if f.name != "targets"
    }


def test_collating_keeps_every_sample_in_its_place():
    parts = [sample(float(i)) for i in range(3)]
    for name, tensor in tensors(collate(parts)).items():
        assert len(tensor) == 3
        for i in range(3):
            torch.testing.assert_close(tensor[i], torch.full_like(tensor[i], float(i)), msg=name)


def test_moving_a_batch_moves_every_tensor():
    moved = collate([sample(1.0)]).to(torch.device("meta"))
    assert {t.device.type for name, t in tensors(moved).items() if name != "landmarks"} == {"meta"}
    assert moved.inputs.landmarks.device.type == moved.supervision.landmarks.device.type == "meta"


def test_a_wrong_shape_is_refused_while_tests_run():
    with pytest.raises(TypeError):
        Inputs(torch.zeros(2, 4, 8, 8), torch.zeros(2, 19, 4), torch.zeros(2, 19, 2, 480))
    with pytest.raises(TypeError):
        Inputs(torch.zeros(2, 5, 8, 8), torch.zeros(3, 19, 4), torch.zeros(2, 19, 2, 480))
