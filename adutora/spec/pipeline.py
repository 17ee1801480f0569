"""`Pipeline`: what a data engineer writes."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from adutora.spec.base import (
    API_VERSION,
    Defaults,
    Input,
    Notify,
    Output,
    Resources,
    Spec,
    Table,
)
from adutora.spec.metadata import Metadata
from adutora.spec.scalars import (
    Duration,
    Identifier,
    JsonValue,
    LongText,
    ResourceName,
    SubJson,
    TableName,
    Template,
    Text,
)
from adutora.stages.clean.spec import Clean
from adutora.stages.container.spec import Container
from adutora.stages.evaluate.spec import Evaluate
from adutora.stages.http.spec import Http
from adutora.stages.ingest.spec import Ingest
from adutora.stages.probe.spec import Probe
from adutora.stages.publish.spec import Publish
from adutora.stages.python.spec import Python
from adutora.stages.quality.spec import Quality
from adutora.stages.spark.spec import Spark
from adutora.stages.sql.spec import Sql
from adutora.stages.train.spec import Train

STAGE_TYPES = (
    "ingest",
    "sql",
    "spark",
    "clean",
    "python",
    "quality",
    "publish",
    "probe",
    "http",
    "train",
    "evaluate",
    "container",
)


class AssetsTrigger(Spec):
    """Tables whose change starts a run."""

    all: Annotated[list[TableName], Field(min_length=1, max_length=50)] | None = Field(
        None, description="Each of them has changed"
    )
    any: Annotated[list[TableName], Field(min_length=1, max_length=50)] | None = Field(
        None, description="One of them has changed"
    )

    ONE_OF: ClassVar[tuple[str, ...]] = ("all", "any")


class Batch(Spec):
    """How many files make one run."""

    maxFiles: int = Field(1000, ge=1, le=1_000_000, description="Most files a run")
    maxWait: Duration | None = Field(None, description="Wait so long for more files")


class FilesTrigger(Spec):
    """New files start a run. A listing that finds none does nothing else."""

    stage: ResourceName = Field(description="The stage whose source is watched: one of `ingest.files` with `read: new`")
    listEvery: Duration | None = Field(None, description="List the source so often, beside any events")
    batch: Batch | None = Field(None, description="How many files make one run")


class Trigger(Spec):
    """What starts a run. Exactly one of cron, assets and files is given."""

    cron: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        None, description="Five cron fields, or @hourly, @daily, @weekly, @monthly, @yearly"
    )
    timezone: Annotated[str, Field(max_length=64)] | None = Field(None, description="IANA time zone of the cron")
    startDate: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", max_length=10)] | None = Field(
        None, description="First day, quoted: YAML 1.1 reads a bare date as no text"
    )
    catchup: bool = Field(False, description="With `cron`: run the slots that were missed")
    assets: AssetsTrigger | None = Field(None, description="Tables whose change starts a run")
    minInterval: Duration | None = Field(None, description="With `assets`: least time between two runs")
    files: FilesTrigger | None = Field(None, description="New files start a run")

    ONE_OF: ClassVar[tuple[str, ...]] = ("cron", "assets", "files")


class Param(Spec):
    """A parameter of a run."""

    name: Identifier = Field(description="Name, for `$(params.name)` and `-p name=value`")
    type: Literal["string", "integer", "number", "boolean", "date"] = Field("string", description="Type of the value")
    default: JsonValue | None = Field(None, description="Value where none is given; without one it must be given")
    title: Text | None = Field(None, description="Label in the trigger form")
    description: Text | None = Field(None, description="Help in the trigger form")
    enum: Annotated[list[JsonValue], Field(min_length=1, max_length=100)] | None = Field(
        None, description="The only values allowed"
    )
    pattern: Annotated[str, Field(max_length=1024)] | None = Field(
        None, description="Regular expression that a string matches in full"
    )
    min: int | float | None = Field(None, description="Smallest number allowed")
    max: int | float | None = Field(None, description="Largest number allowed")


class ForEach(Spec):
    """Fan-out: the stage runs once for each value, with `$(item)`."""

    values: Annotated[SubJson, Template()] = Field(description="A list, or `$(…)` that gives one; at most 1,000 values")
    maxParallel: int = Field(4, ge=1, le=100, description="Runs at once")


class Stage(Spec):
    """One step. Common fields, then exactly one block, which is its type."""

    name: ResourceName = Field(description="Name, unique in the pipeline")
    description: Text | None = Field(None, description="What the stage does")
    dependsOn: Annotated[list[ResourceName], Field(max_length=100)] | None = Field(
        None, description="Stages that come first, only where data does not show it"
    )
    when: Annotated[str, Field(min_length=1, max_length=1024), Template()] | bool | None = Field(
        None,
        description="`$(x)`, `!$(x)`, `$(x) == 'y'` or `$(x) != 'y'`; false skips this stage and what depends on it",
    )
    runIf: Literal["succeeded", "failed", "always"] = Field(
        "succeeded", description="State of what it depends on: all `succeeded`, one `failed`, or `always`"
    )
    cache: bool = Field(
        False,
        description="Do nothing if configuration, image and input versions are those of the last success",
    )
    retries: int | None = Field(None, ge=0, le=100, description="Tries after the first one")
    retryDelay: Duration | None = Field(None, description="Wait before the first retry")
    timeout: Duration | None = Field(None, description="How long one try may take")
    profile: ResourceName | None = Field(None, description="Pod profile of the Project")
    resources: Resources | None = Field(None, description="CPU, memory and scratch disk")
    forEach: ForEach | None = Field(None, description="Fan-out over values")
    input: Input | None = Field(None, description="The only input, where there is one")
    inputs: Annotated[list[Input], Field(min_length=1, max_length=50)] | None = Field(
        None, description="What the stage reads; edges come from here"
    )
    output: Output | None = Field(None, description="The table that the stage writes")

    ingest: Ingest | None = Field(None, description="Bring data in from files, an API or a database")
    sql: Sql | None = Field(None, description="Transform with SQL")
    spark: Spark | None = Field(None, description="Transform with a PySpark application")
    clean: Clean | None = Field(None, description="Tidy a table")
    python: Python | None = Field(None, description="Transform with a Python function")
    quality: Quality | None = Field(None, description="Check a table that stands")
    publish: Publish | None = Field(None, description="Publish a table to the online store")
    probe: Probe | None = Field(None, description="See whether a connection answers")
    http: Http | None = Field(None, description="Send one request")
    train: Train | None = Field(None, description="Train and register a model")
    evaluate: Evaluate | None = Field(None, description="Judge and promote a model")
    container: Container | None = Field(None, description="Run an image of your own")

    ONE_OF: ClassVar[tuple[str, ...]] = STAGE_TYPES

    @property
    def type(self) -> str:
        """Name of the block that is given."""
        return next(name for name in STAGE_TYPES if getattr(self, name) is not None)

    @property
    def block(self) -> Spec:
        """The block that is given."""
        block: Spec = getattr(self, self.type)
        return block

    @property
    def all_inputs(self) -> list[Input]:
        """`input` or `inputs`, as a list."""
        return [self.input] if self.input else list(self.inputs or [])


class PipelineSpec(Spec):
    """The pipeline itself."""

    description: LongText | None = Field(None, description="Markdown, shown in Airflow")
    owner: Text | None = Field(None, description="Who answers for the pipeline")
    tags: Annotated[list[Annotated[str, Field(min_length=1, max_length=63)]], Field(max_length=20)] = Field(
        default_factory=list, description="For finding it"
    )
    suspend: bool | None = Field(
        None, description="Unset: Airflow's pause button decides; set: the operator enforces it"
    )
    revision: int | None = Field(None, ge=1, description="Pins a revision: roll back, or stay")
    concurrency: int = Field(1, ge=1, le=100, description="Runs at once; more wait")
    timeout: Duration | None = Field(None, description="How long a run may take")
    triggers: Annotated[list[Trigger], Field(max_length=20)] = Field(
        default_factory=list, description="Any of them starts a run; none: by hand only; at most one cron"
    )
    params: Annotated[list[Param], Field(max_length=50)] = Field(
        default_factory=list, description="Parameters of a run, in the order of the form"
    )
    notify: Annotated[list[Notify], Field(max_length=20)] = Field(
        default_factory=list, description="Who is told what; adds to the Project's"
    )
    defaults: Defaults | None = Field(None, description="Defaults of the stages")
    tables: Annotated[list[Table], Field(max_length=100)] = Field(default_factory=list, description="What the data is")
    stages: Annotated[list[Stage], Field(min_length=1, max_length=100)] = Field(description="The steps")


class Pipeline(Spec):
    """A pipeline of stages."""

    apiVersion: Literal["adutora.dev/v1alpha1"] = Field(description=f"`{API_VERSION}`")
    kind: Literal["Pipeline"] = Field(description="`Pipeline`")
    metadata: Metadata = Field(description="Name and namespace")
    spec: PipelineSpec = Field(description="The pipeline itself")
