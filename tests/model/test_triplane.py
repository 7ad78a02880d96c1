import torch

from humanlrm.frame import sample_plane


def plane() -> torch.Tensor:
    """4 x 6 pixels; the value is 10 row + column."""
    return (10 * torch.arange(4.0)[:, None] + torch.arange(6.0))[None, None]


def test_at_the_centre_of_a_pixel_stands_its_value():
    row, column = 1, 4
    at = torch.tensor([[[(column + 0.5) / 6 * 2 - 1, 1 - (row + 0.5) / 4 * 2]]])
    torch.testing.assert_close(sample_plane(plane(), at), torch.tensor([[[14.0]]]))


def test_the_first_row_is_up_and_the_last_column_is_right():
    found = sample_plane(plane(), torch.tensor([[[-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0]]]))
    torch.testing.assert_close(found[0, :, 0], torch.tensor([0.0, 5.0, 30.0]))


def test_between_pixels_it_is_linear_and_outside_the_border_goes_on():
    found = sample_plane(plane(), torch.tensor([[[0.0, 0.0], [5.0, 0.75], [0.0, -9.0]]]))
    torch.testing.assert_close(found[0, :, 0], torch.tensor([17.5, 5.0, 32.5]))


def test_every_subject_reads_its_own_plane():
    both = torch.cat([plane(), plane() + 100])
    found = sample_plane(both, torch.zeros(2, 3, 2))
    torch.testing.assert_close(found[1] - found[0], torch.full((3, 1), 100.0))
