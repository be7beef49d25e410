import json
import sys

import pytest
import torch

from trainables.networks.segformer import build_segformer
from trainables.networks.unet import UNet


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("size", [(16, 16), (13, 21), (1, 1), (3, 40)])
def test_unet_takes_any_size(size):
    model = UNet(in_channels=3, num_classes=5, width=4, depth=3, normalization="none")
    assert model(torch.randn(2, 3, *size)).shape == (2, 5, *size)


def test_unet_pads_odd_sizes_with_zeros_and_crops_the_output():
    model = UNet(in_channels=1, num_classes=3, width=4, depth=2).eval()
    small = torch.randn(1, 1, 6, 7)
    large = torch.zeros(1, 1, 8, 8)
    large[..., :6, :7] = small
    torch.testing.assert_close(model(small), model(large)[..., :6, :7])


@pytest.mark.parametrize("normalization", ["batch", "instance", "group", "none"])
@pytest.mark.parametrize("depth", [0, 2])
def test_unet_gives_every_parameter_a_gradient(normalization, depth):
    model = UNet(in_channels=2, num_classes=3, width=6, depth=depth, normalization=normalization)
    (model(torch.randn(2, 2, 12, 12)) ** 2).mean().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


def test_unet_width_doubles_with_each_level():
    model = UNet(in_channels=1, num_classes=2, width=3, depth=2)
    assert [block[0].out_channels for block in model.down] == [3, 6, 12]


def test_unet_in_channels_last_computes_the_same():
    model = UNet(in_channels=3, num_classes=4, width=4).eval()
    images = torch.randn(2, 3, 12, 12)
    plain = model(images)
    last = model.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, plain, atol=1e-5, rtol=1e-4)


def test_unet_drops_out_only_while_training():
    model = UNet(in_channels=1, num_classes=2, width=4, normalization="none", dropout=0.5)
    images = torch.randn(1, 1, 16, 16)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


@pytest.mark.parametrize("size", [(40, 36), (12, 17), (32, 33)])
def test_segformer_gives_logits_of_the_size_of_the_image(size):
    model = build_segformer(in_channels=1, num_classes=11, size="tiny")
    logits = model(torch.randn(2, 1, *size))
    assert logits.shape == (2, 11, *size)
    logits.mean().backward()


def test_segformer_from_a_folder_has_its_weights_and_a_new_head_for_other_classes(tmp_path):
    saved = build_segformer(in_channels=3, num_classes=4, size="tiny").eval()
    saved.network.save_pretrained(tmp_path)
    same = build_segformer(in_channels=3, num_classes=4, path=str(tmp_path)).eval()
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(same(images), saved(images))

    other = build_segformer(in_channels=3, num_classes=7, path=str(tmp_path)).eval()
    assert other(images).shape == (1, 7, 32, 32)
    encoder = saved.network.segformer.state_dict()
    for name, weight in other.network.segformer.state_dict().items():
        torch.testing.assert_close(weight, encoder[name])


def test_segformer_from_a_folder_refuses_pickled_weights(tmp_path):
    build_segformer(in_channels=3, num_classes=2, size="tiny").network.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"config\.json and model\.safetensors"):
        build_segformer(in_channels=3, num_classes=2, path=str(tmp_path))


def test_segformer_from_a_folder_for_other_channels_names_the_option(tmp_path):
    build_segformer(in_channels=3, num_classes=2, size="tiny").network.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["num_channels"] == 3
    with pytest.raises(ValueError, match=r"the data has 1: set data\.channels: 3"):
        build_segformer(in_channels=1, num_classes=2, path=str(tmp_path))


def test_segformer_without_transformers_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'tune-search\[transformers\]'"):
        build_segformer(in_channels=1, num_classes=2)
