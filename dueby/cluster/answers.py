"""What is read of the API server's answers, and nothing else of them."""

from dueby_api.schema import LenientSpec


class Named(LenientSpec, frozen=True, kw_only=True):
    """A resource that is served, by its plural."""

    name: str


class ServedKinds(LenientSpec, frozen=True, kw_only=True):
    """The resources of a version of an API group."""

    resources: tuple[Named, ...] = ()


class ReviewStatus(LenientSpec, frozen=True, kw_only=True):
    """Whether somebody may do something."""

    allowed: bool = False


class AccessReview(LenientSpec, frozen=True, kw_only=True):
    """The answer to a SelfSubjectAccessReview."""

    status: ReviewStatus = ReviewStatus()


class ObjectName(LenientSpec, frozen=True, kw_only=True):
    """Whose an object is, and what is noted on it."""

    name: str
    namespace: str = ""
    annotations: dict[str, str] | None = None


class AnyObject(LenientSpec, frozen=True, kw_only=True):
    """An object of which only the name matters."""

    metadata: ObjectName


class Readiness(LenientSpec, frozen=True, kw_only=True):
    """How many pods of a Deployment are ready."""

    ready_replicas: int = 0


class Deployment(AnyObject, frozen=True, kw_only=True):
    """A Deployment."""

    status: Readiness = Readiness()


class Deployments(LenientSpec, frozen=True, kw_only=True):
    """A list of them."""

    items: tuple[Deployment, ...] = ()
