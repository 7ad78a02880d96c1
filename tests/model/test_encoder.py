import torch

from humanlrm.model.encoder import LiteEncoder, TrainableTrunk, reference_network


def test_the_encoder_equals_its_twin_at_every_tap():
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    net = reference_network()
    taps, x = [], net._swish(net._bn0(net._conv_stem((image - 0.5) / 0.25)))
    with torch.no_grad():
        for i, block in enumerate(net._blocks):
            x = block(x)
            if i in (0, 2, 4, 10, 15):
                taps.append(x)
    found = LiteEncoder()(image)
    for tap, name in zip(taps, ("stride2", "stride4", "stride8", "stride16", "stride32"), strict=True):
        torch.testing.assert_close(getattr(found, name).contiguous(), tap, rtol=1e-3, atol=1e-3)
        assert tap.std() > 0.05


def test_strides_are_those_of_the_names():
    found = LiteEncoder()(torch.rand(1, 3, 96, 96))
    for stride in (2, 4, 8, 16, 32):
        assert getattr(found, f"stride{stride}").shape[-2:] == (96 // stride, 96 // stride)


def test_the_encoder_has_nothing_to_train_and_nothing_to_save():
    encoder = LiteEncoder()
    assert [p for p in encoder.parameters() if p.requires_grad] == []
    assert encoder.state_dict() == {}


def test_training_mode_changes_nothing():
    image, encoder = torch.rand(1, 3, 64, 64), LiteEncoder()
    torch.testing.assert_close(encoder.train()(image).stride32, encoder.eval()(image).stride32, rtol=0, atol=0)


def test_a_new_eye_sees_as_the_encoder_and_can_learn_from_stride_8_on():
    image, eye = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)), TrainableTrunk()
    pyramid = LiteEncoder()(image)
    found = eye(pyramid)
    for name in ("stride2", "stride4", "stride8", "stride16", "stride32"):
        torch.testing.assert_close(getattr(found, name), getattr(pyramid, name), rtol=1e-4, atol=1e-4)
    found.stride32.square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for n, p in eye.named_parameters() if n.endswith("weight"))
    assert not found.stride4.requires_grad


def test_under_autocast_features_are_nearly_the_same_and_still_float32():
    image, encoder = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)), LiteEncoder()
    exact = encoder(image)
    with torch.autocast("cpu", torch.bfloat16):
        rough = encoder(image)
    for name in ("stride8", "stride32"):
        wanted, found = getattr(exact, name), getattr(rough, name)
        assert found.dtype == torch.float32
        assert 0 < (found - wanted).norm() < 0.05 * wanted.norm()
