"""Why something cannot be done to a dead letter."""

from rappit_common.errors import ConflictError, InvalidError, NotFoundError


class DeadLetterNotFoundError(NotFoundError):
    """No dead letter has this id."""

    code = "dead_letter_not_found"


class DeadLetterNotDeadError(ConflictError):
    """It was requeued or discarded already."""

    code = "dead_letter_not_dead"


class DeadLetterInRunError(ConflictError):
    """A run that is under way will send it."""

    code = "dead_letter_in_run"


class EditedBodyInvalidError(InvalidError):
    """The queue's consumer could not read the edited body; ``errors`` names the fields."""

    code = "edited_body_invalid"


class TooManyLettersError(InvalidError):
    """More letters are meant than one act may change."""

    code = "too_many_letters"


class NothingToRequeueError(ConflictError):
    """None of the letters meant is dead and free."""

    code = "nothing_to_requeue"


class RequeueRunNotFoundError(NotFoundError):
    """No requeue run has this id."""

    code = "requeue_run_not_found"
