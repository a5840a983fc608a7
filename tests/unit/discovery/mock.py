"""A client with a queue of answers, some of which are failures."""

from collections import deque

from headscribe.discovery.clients import FREE, Reply


class Queued:
    """Gives the queued answers in turn; an exception in the queue is raised."""

    name = "queued"
    max_output_tokens = 1000

    def __init__(self, *answers, price=FREE):
        self.answers = deque(answers)
        self.prompts = []
        self.price = price

    def ask(self, prompt):
        self.prompts.append(prompt)
        answer = self.answers.popleft()
        if isinstance(answer, BaseException):
            raise answer
        return (
            answer if isinstance(answer, Reply) else Reply(answer, 100, 50, self.price.of(100, 50))
        )

    def stop(self):
        self.stopped = True
