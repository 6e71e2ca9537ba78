import pytest

from sirtjax import registration
from sirtjax.errors import ConfigError
from sirtjax.studies import make_grid


def test_the_default_grid_follows_the_guidance_and_words_are_values():
    guided = make_grid(registration.load_preset("cnn"), [])
    assert list(guided.axes) == ["weights.image", "weights.masks"] and len(guided.points) == 25
    assert list(make_grid(registration.load_preset("image"), []).axes) == ["weights.image"]
    words = make_grid(registration.load_preset("cnn"), ["regularisation.kind=spring,bending"])
    assert [point.config.regularisation.kind for point in words.points] == ["spring", "bending"]
    assert words.swept == ("image",) and len(words.structures()) == 2


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("weights.image", "expected a key and its values, such as weights.image=0,0.3,1,3"),
        ("weights.image=-1", "weights.image: Input should be greater than or equal to 0"),
        ("weights.liver=1", "--grid weights.liver=1: expected a key of the preset"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(given, complaint):
    with pytest.raises(ConfigError, match=complaint):
        make_grid(registration.load_preset("cnn"), [given])
    with pytest.raises(ConfigError, match="is there twice"):
        make_grid(registration.load_preset("cnn"), ["weights.image=1", "weights.image=2"])
