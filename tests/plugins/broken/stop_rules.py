"""Stop rules, right and broken."""


class Right:
    def check(self, history):
        return "10 rounds" if len(history) >= 10 else None


class Accuracy:
    """Stops at an accuracy; a hold-out of nobody has none."""

    def check(self, history):
        return "accuracy 0.8" if history[-1].metrics["accuracy"].mean >= 0.8 else None


class Sorts(Right):
    def check(self, history):
        if isinstance(history, list):
            history.sort(key=lambda record: -record.round)
        return super().check(history)


class YesOrNo(Right):
    def check(self, history):
        return len(history) >= 10


class Counts(Right):
    """Counts its calls instead of the rounds."""

    def __init__(self):
        self.calls = 0

    def check(self, history):
        self.calls += 1
        return "20 rounds" if self.calls >= 20 else None


class ByRoundNumber(Right):
    def check(self, history):
        by_number = {record.round: record for record in history}
        by_number[len(history)]
        return super().check(history)


class Divides(Right):
    def check(self, history):
        metric = history[-1].metrics["accuracy"]
        metric.sum / metric.count
        return super().check(history)


RIGHT = {"rounds": Right(), "accuracy": Accuracy()}
BROKEN = {
    "the history is left as it is": Sorts(),
    "the answer is none or a reason": YesOrNo(),
    "the same history gives the same answer": Counts(),
    "abandoned rounds may leave gaps": ByRoundNumber(),
    "a hold out may be empty": Divides(),
}
