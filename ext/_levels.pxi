# What each module with loops of several levels has: which level is in use, the widest at first. Included behind the
# declarations of `tw_levels` and `tw_choose`, which are the module's own.

LEVELS = tw_levels()


def use_level(int level):
    """Run the loops of a level from 0, plain, to LEVELS - 1, the widest vectors, from now on. Tests call this."""
    if not 0 <= level < LEVELS:
        raise ValueError(f"level is {level}, expected 0 to {LEVELS - 1}")
    tw_choose(level)


use_level(LEVELS - 1)
