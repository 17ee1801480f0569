"""`Project`: what the platform team writes, one per namespace; on a laptop the file adutora.yaml."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from adutora.spec.base import API_VERSION, Defaults, Notify, Spec
from adutora.spec.metadata import Metadata
from adutora.spec.scalars import Cpu, Duration, Identifier, LayerName, Memory, Rate, ResourceName, Text, Uri

Label = Annotated[str, Field(max_length=317)]
Host = Annotated[str, Field(min_length=1, max_length=255)]


class Layer(Spec):
    """A layer with a root of its own."""

    name: LayerName = Field(description="For example bronze, silver or gold")
    root: Uri = Field(description="Folder or s3:// URL")


class Lake(Spec):
    """Where tables live: `<root>/<layer>/<name>`."""

    root: Uri = Field("lake", description="Folder or s3:// URL; a relative one counts from this file's folder")
    connection: ResourceName | None = Field(
        None, description="Connection of type s3 that has the endpoint and keys of an s3:// root"
    )
    layers: Annotated[list[Layer], Field(max_length=50)] = Field(
        default_factory=list, description="Layers with a root of their own"
    )


class LimitResources(Spec):
    """Most that a stage may ask for."""

    cpu: Cpu | None = Field(None, description="Cores")
    memory: Memory | None = Field(None, description="Memory")
    scratch: Memory | None = Field(None, description="Scratch disk")


class Limits(Spec):
    """Caps, not defaults: a pipeline that asks for more is refused."""

    timeout: Duration | None = Field(None, description="Longest time-out of a stage")
    retries: int | None = Field(None, ge=0, le=100, description="Most retries")
    resources: LimitResources | None = Field(None, description="Most that a stage may ask for")
    images: Annotated[list[Annotated[str, Field(min_length=1, max_length=512)]], Field(max_length=100)] | None = Field(
        None, description="Patterns of the images that `container` may run; default: any"
    )


class Toleration(Spec):
    """A Kubernetes toleration."""

    key: Label | None = Field(None, description="Taint key")
    operator: Literal["Exists", "Equal"] | None = Field(None, description="How the value is compared")
    value: Annotated[str, Field(max_length=63)] | None = Field(None, description="Taint value")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(None, description="Taint effect")
    tolerationSeconds: int | None = Field(None, ge=0, description="For NoExecute: how long to stay")


class Profile(Spec):
    """Pod fields, which only the platform team sets."""

    name: ResourceName = Field(description="Name that a stage's `profile` names")
    serviceAccount: ResourceName | None = Field(None, description="Service account of the pods")
    nodeSelector: dict[Label, Annotated[str, Field(max_length=63)]] | None = Field(
        None, max_length=50, description="Labels of the nodes to run on"
    )
    tolerations: Annotated[list[Toleration], Field(max_length=50)] | None = Field(
        None, description="Taints that the pods bear"
    )
    priorityClass: ResourceName | None = Field(None, description="Priority class of the pods")


class SecretRef(Spec):
    """Where a connection's secret values come from."""

    name: ResourceName = Field(
        description="Kubernetes Secret; on a laptop the folder .adutora/secrets/<name>, or the environment "
        "variables ADUTORA_SECRET_<NAME>_<KEY>"
    )
    keys: dict[Identifier, Annotated[str, Field(min_length=1, max_length=253)]] | None = Field(
        None, max_length=20, description="Key that we read: key in the Secret, where they differ"
    )


class Login(Spec):
    """Log in with user and password, and send the token from the answer as a bearer."""

    path: Uri = Field(description="Path of the login, which gets {username, password} as JSON")
    token: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        "$.access_token", description="JSONPath of the token in the answer"
    )
    form: bool = Field(False, description="Send a form (OAuth2 password) instead of JSON")


class BasicAuth(Spec):
    """HTTP basic; secret keys `user` and `password`."""


class BearerAuth(Spec):
    """A bearer token; secret key `token`."""


class ApiKeyAuth(Spec):
    """A key in a header; secret key `key`."""

    header: Annotated[str, Field(min_length=1, max_length=255)] = Field("X-API-Key", description="Name of the header")


class HttpAuth(Spec):
    """How we show who we are. Exactly one is given."""

    login: Login | None = Field(None, description="Log in; secret keys `user` and `password`; a 401 renews once")
    basic: BasicAuth | None = Field(None, description="HTTP basic; secret keys `user` and `password`")
    bearer: BearerAuth | None = Field(None, description="A token; secret key `token`")
    apiKey: ApiKeyAuth | None = Field(None, description="A key in a header; secret key `key`")

    ONE_OF: ClassVar[tuple[str, ...]] = ("login", "basic", "bearer", "apiKey")


class HttpConnection(Spec):
    """An HTTP API."""

    baseUrl: Uri = Field(description="Scheme, host and path that every request's path is added to")
    rateLimit: Rate | None = Field(None, description="Most requests, for example 5/s")
    timeout: Duration = Field(Duration(30), description="Longest wait for an answer")
    auth: HttpAuth | None = Field(None, description="How we show who we are")


class PostgresConnection(Spec):
    """A PostgreSQL database; secret keys `user` and `password`."""

    host: Host = Field(description="Host name")
    port: int = Field(5432, ge=1, le=65535, description="Port")
    database: Annotated[str, Field(min_length=1, max_length=63)] = Field(description="Database")
    maxConcurrent: int = Field(4, ge=1, le=1000, description="Most connections at once")


class S3Connection(Spec):
    """A bucket; secret keys `accessKey` and `secretKey`, or none where the pod has a role."""

    bucket: Annotated[str, Field(min_length=1, max_length=255)] = Field(description="Bucket")
    prefix: Annotated[str, Field(max_length=1024)] | None = Field(None, description="Prefix of every key")
    endpoint: Uri | None = Field(None, description="URL of an S3-compatible service; default: AWS")
    region: Annotated[str, Field(max_length=63)] = Field("us-east-1", description="Region")
    queueUrl: Uri | None = Field(None, description="SQS queue of the bucket's events")


class FolderConnection(Spec):
    """A folder, in place of a bucket."""

    path: Uri = Field(description="Folder; a relative one counts from this file's folder")


class RedisConnection(Spec):
    """A Redis server; secret keys `user`, `password` and `ca`, the PEM of an authority of your own; all optional."""

    host: Host = Field("localhost", description="Host name")
    port: int = Field(6379, ge=1, le=65535, description="Port")
    database: int = Field(0, ge=0, le=1023, description="Database number")
    tls: bool = Field(False, description="Speak TLS, and check the server's certificate and name")
    cluster: bool = Field(False, description="The server is a Redis Cluster")


class SqliteConnection(Spec):
    """A SQLite file, the online store of a laptop."""

    path: Uri = Field("online.db", description="File; a relative path counts from this file's folder")


class SlackConnection(Spec):
    """A Slack incoming webhook; secret key `url`."""


class WebhookConnection(Spec):
    """A URL that gets the event as JSON; secret key `url`."""


class SmtpConnection(Spec):
    """A mail server; secret keys `user` and `password`."""

    host: Host = Field(description="Host name")
    port: int = Field(587, ge=1, le=65535, description="Port")
    sender: Annotated[str, Field(max_length=255)] = Field(alias="from", description="Sender's address")
    to: Annotated[list[Annotated[str, Field(max_length=255)]], Field(min_length=1, max_length=50)] = Field(
        description="Receivers' addresses"
    )


class MlflowConnection(Spec):
    """An MLflow server; secret keys `user` and `password`, both optional."""

    trackingUri: Uri = Field(description="URL, or on a laptop sqlite:///file")


class GlueConnection(Spec):
    """The AWS Glue catalogue."""

    region: Annotated[str, Field(max_length=63)] = Field(description="Region")
    database: Identifier | None = Field(None, description="Database; default: one per layer")


class UnityConnection(Spec):
    """A Unity Catalog server; secret key `token`."""

    url: Uri = Field(description="URL of the server")
    catalog: Identifier = Field(description="Catalogue")


class Connection(Spec):
    """A system outside. Exactly one type block is given; it says which secret keys are read."""

    name: ResourceName = Field(description="Name that stages name")
    http: HttpConnection | None = Field(None, description="An HTTP API")
    postgres: PostgresConnection | None = Field(None, description="A PostgreSQL database")
    s3: S3Connection | None = Field(None, description="A bucket")
    folder: FolderConnection | None = Field(None, description="A folder, in place of a bucket")
    redis: RedisConnection | None = Field(None, description="A Redis server, as online store")
    sqlite: SqliteConnection | None = Field(None, description="A SQLite file, as online store")
    slack: SlackConnection | None = Field(None, description="A Slack incoming webhook")
    webhook: WebhookConnection | None = Field(None, description="A URL that gets events")
    smtp: SmtpConnection | None = Field(None, description="A mail server")
    mlflow: MlflowConnection | None = Field(None, description="An MLflow server")
    glue: GlueConnection | None = Field(None, description="The AWS Glue catalogue")
    unity: UnityConnection | None = Field(None, description="A Unity Catalog server")
    secretRef: SecretRef | None = Field(None, description="Where its secret values come from")

    ONE_OF: ClassVar[tuple[str, ...]] = (
        "http", "postgres", "s3", "folder", "redis", "sqlite", "slack", "webhook", "smtp", "mlflow", "glue", "unity",
    )  # fmt: skip

    @property
    def type(self) -> str:
        """Name of the type block that is given."""
        return next(name for name in self.ONE_OF if getattr(self, name) is not None)

    @property
    def settings(self) -> Any:
        """The type block that is given."""
        return getattr(self, self.type)


class Catalog(Spec):
    """Where tables are registered after a write."""

    connection: ResourceName = Field(description="Connection of type glue or unity")


class ProjectSpec(Spec):
    """The project itself."""

    description: Text | None = Field(None, description="What the project is")
    lake: Lake = Field(default_factory=Lake, description="Where tables live")
    filesRoot: Uri | None = Field(
        None, description="Base of relative paths on a cluster; on a laptop it is the pipeline file's folder"
    )
    defaults: Defaults | None = Field(None, description="Defaults of every pipeline")
    limits: Limits | None = Field(None, description="Caps")
    profiles: Annotated[list[Profile], Field(max_length=50)] = Field(
        default_factory=list, description="Pod profiles that stages name"
    )
    notify: Annotated[list[Notify], Field(max_length=20)] = Field(
        default_factory=list, description="Who is told what, for every pipeline"
    )
    catalog: Catalog | None = Field(None, description="Where tables are registered")
    connections: Annotated[list[Connection], Field(max_length=200)] = Field(
        default_factory=list, description="Systems outside"
    )


class Project(Spec):
    """Lake, connections, defaults and limits of a namespace."""

    apiVersion: Literal["adutora.dev/v1alpha1"] = Field(description=f"`{API_VERSION}`")
    kind: Literal["Project"] = Field(description="`Project`")
    metadata: Metadata = Field(description="Name and namespace")
    spec: ProjectSpec = Field(default_factory=ProjectSpec, description="The project itself")


# What holds on a laptop without an adutora.yaml; with one, a connection `online` that it lacks.
EMBEDDED_ONLINE = Connection.model_validate({"name": "online", "sqlite": {}})
EMBEDDED = Project.model_validate(
    {"apiVersion": API_VERSION, "kind": "Project", "metadata": {"name": "default"}, "spec": {}}
)
