from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from . import drops_pb2 as _drops_pb2
from . import events_pb2 as _events_pb2
from . import explain_pb2 as _explain_pb2
from . import message_pb2 as _message_pb2
from . import networks_pb2 as _networks_pb2
from . import programs_pb2 as _programs_pb2
from . import requests_pb2 as _requests_pb2
from . import tap_pb2 as _tap_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
LINK_STATE_CONNECTING: LinkState
LINK_STATE_DETACHED: LinkState
LINK_STATE_DRAINING: LinkState
LINK_STATE_UNSPECIFIED: LinkState
LINK_STATE_UP: LinkState
PROFILE_KIND_ALLOCS: ProfileKind
PROFILE_KIND_CPU: ProfileKind
PROFILE_KIND_FLIGHT: ProfileKind
PROFILE_KIND_GOROUTINE: ProfileKind
PROFILE_KIND_HEAP: ProfileKind
PROFILE_KIND_TRACE: ProfileKind
PROFILE_KIND_UNSPECIFIED: ProfileKind

class BoundReached(_message.Message):
    __slots__ = ["bound", "count", "who"]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    bound: str
    count: int
    who: str
    def __init__(self, who: _Optional[str] = ..., bound: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class ConfigChange(_message.Message):
    __slots__ = ["after", "before", "what"]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    after: str
    before: str
    what: str
    def __init__(self, what: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class DrainLinkRequest(_message.Message):
    __slots__ = ["name", "timeout"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    timeout: _duration_pb2.Duration
    def __init__(self, name: _Optional[str] = ..., timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DrainLinkResponse(_message.Message):
    __slots__ = ["unfinished"]
    UNFINISHED_FIELD_NUMBER: _ClassVar[int]
    unfinished: int
    def __init__(self, unfinished: _Optional[int] = ...) -> None: ...

class Drop(_message.Message):
    __slots__ = ["data_size", "from_peer", "message", "reason", "time"]
    DATA_SIZE_FIELD_NUMBER: _ClassVar[int]
    FROM_PEER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    data_size: int
    from_peer: bool
    message: _message_pb2.Message
    reason: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., from_peer: bool = ..., reason: _Optional[str] = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., data_size: _Optional[int] = ...) -> None: ...

class ExplainRulesRequest(_message.Message):
    __slots__ = ["identity", "link", "name"]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    identity: str
    link: str
    name: str
    def __init__(self, identity: _Optional[str] = ..., name: _Optional[str] = ..., link: _Optional[str] = ...) -> None: ...

class ExplainRulesResponse(_message.Message):
    __slots__ = ["rules", "verdicts"]
    RULES_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    rules: int
    verdicts: _containers.RepeatedCompositeFieldContainer[RuleVerdict]
    def __init__(self, verdicts: _Optional[_Iterable[_Union[RuleVerdict, _Mapping]]] = ..., rules: _Optional[int] = ...) -> None: ...

class FindInterestRequest(_message.Message):
    __slots__ = ["name"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class FindInterestResponse(_message.Message):
    __slots__ = ["links"]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    links: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, links: _Optional[_Iterable[str]] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ["configuration", "link", "max_drops", "page_size", "page_token"]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    MAX_DROPS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    configuration: bool
    link: str
    max_drops: int
    page_size: int
    page_token: str
    def __init__(self, link: _Optional[str] = ..., max_drops: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., configuration: bool = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ["api_denied", "api_missed", "bindings", "bounds_reached", "bus", "certificate_expires", "configuration", "insecure", "instance_id", "links", "network_id", "next_page_token", "start_time", "trace_spans_lost", "version"]
    API_DENIED_FIELD_NUMBER: _ClassVar[int]
    API_MISSED_FIELD_NUMBER: _ClassVar[int]
    BINDINGS_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_REACHED_FIELD_NUMBER: _ClassVar[int]
    BUS_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_EXPIRES_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    INSECURE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    NETWORK_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    TRACE_SPANS_LOST_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    api_denied: int
    api_missed: int
    bindings: int
    bounds_reached: _containers.RepeatedCompositeFieldContainer[BoundReached]
    bus: str
    certificate_expires: _timestamp_pb2.Timestamp
    configuration: str
    insecure: _containers.RepeatedScalarFieldContainer[str]
    instance_id: str
    links: _containers.RepeatedCompositeFieldContainer[LinkStatus]
    network_id: int
    next_page_token: str
    start_time: _timestamp_pb2.Timestamp
    trace_spans_lost: int
    version: str
    def __init__(self, version: _Optional[str] = ..., bus: _Optional[str] = ..., network_id: _Optional[int] = ..., instance_id: _Optional[str] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., links: _Optional[_Iterable[_Union[LinkStatus, _Mapping]]] = ..., bindings: _Optional[int] = ..., next_page_token: _Optional[str] = ..., api_missed: _Optional[int] = ..., insecure: _Optional[_Iterable[str]] = ..., bounds_reached: _Optional[_Iterable[_Union[BoundReached, _Mapping]]] = ..., api_denied: _Optional[int] = ..., trace_spans_lost: _Optional[int] = ..., configuration: _Optional[str] = ..., certificate_expires: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LinkCounts(_message.Message):
    __slots__ = ["asked", "busy", "from_bus", "from_bus_ended", "from_bus_in_flight", "from_peer", "from_peer_ended", "from_peer_in_flight", "lost", "open", "proxies", "queue_bound", "queue_full", "queued", "repliers", "replies", "requests", "resyncs", "synthetic", "to_peer", "unknown_frames", "window_full", "wishes"]
    class FromBusEndedEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class FromPeerEndedEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class LostEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ASKED_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    FROM_BUS_ENDED_FIELD_NUMBER: _ClassVar[int]
    FROM_BUS_FIELD_NUMBER: _ClassVar[int]
    FROM_BUS_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    FROM_PEER_ENDED_FIELD_NUMBER: _ClassVar[int]
    FROM_PEER_FIELD_NUMBER: _ClassVar[int]
    FROM_PEER_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    PROXIES_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    QUEUE_BOUND_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FULL_FIELD_NUMBER: _ClassVar[int]
    REPLIERS_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    RESYNCS_FIELD_NUMBER: _ClassVar[int]
    SYNTHETIC_FIELD_NUMBER: _ClassVar[int]
    TO_PEER_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FRAMES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FULL_FIELD_NUMBER: _ClassVar[int]
    WISHES_FIELD_NUMBER: _ClassVar[int]
    asked: int
    busy: int
    from_bus: int
    from_bus_ended: _containers.ScalarMap[str, int]
    from_bus_in_flight: int
    from_peer: int
    from_peer_ended: _containers.ScalarMap[str, int]
    from_peer_in_flight: int
    lost: _containers.ScalarMap[str, int]
    open: int
    proxies: int
    queue_bound: int
    queue_full: int
    queued: int
    repliers: int
    replies: int
    requests: int
    resyncs: int
    synthetic: int
    to_peer: int
    unknown_frames: int
    window_full: int
    wishes: int
    def __init__(self, requests: _Optional[int] = ..., replies: _Optional[int] = ..., synthetic: _Optional[int] = ..., open: _Optional[int] = ..., asked: _Optional[int] = ..., from_bus: _Optional[int] = ..., from_bus_ended: _Optional[_Mapping[str, int]] = ..., from_bus_in_flight: _Optional[int] = ..., from_peer: _Optional[int] = ..., from_peer_ended: _Optional[_Mapping[str, int]] = ..., from_peer_in_flight: _Optional[int] = ..., proxies: _Optional[int] = ..., wishes: _Optional[int] = ..., repliers: _Optional[int] = ..., queued: _Optional[int] = ..., queue_full: _Optional[int] = ..., window_full: _Optional[int] = ..., unknown_frames: _Optional[int] = ..., busy: _Optional[int] = ..., to_peer: _Optional[int] = ..., resyncs: _Optional[int] = ..., lost: _Optional[_Mapping[str, int]] = ..., queue_bound: _Optional[int] = ...) -> None: ...

class LinkStatus(_message.Message):
    __slots__ = ["counts", "dialled", "drops", "epochs", "error_code", "identity", "ksock", "last_error", "name", "networks_behind", "peer_instance_id", "peer_network_id", "peer_version", "renames", "resumed", "session_id", "since", "state", "transport"]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    DIALLED_FIELD_NUMBER: _ClassVar[int]
    DROPS_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    KSOCK_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_BEHIND_FIELD_NUMBER: _ClassVar[int]
    PEER_INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    PEER_NETWORK_ID_FIELD_NUMBER: _ClassVar[int]
    PEER_VERSION_FIELD_NUMBER: _ClassVar[int]
    RENAMES_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    counts: LinkCounts
    dialled: bool
    drops: _containers.RepeatedCompositeFieldContainer[Drop]
    epochs: int
    error_code: str
    identity: str
    ksock: int
    last_error: str
    name: str
    networks_behind: _containers.RepeatedScalarFieldContainer[int]
    peer_instance_id: str
    peer_network_id: int
    peer_version: str
    renames: _containers.RepeatedScalarFieldContainer[str]
    resumed: int
    session_id: str
    since: _timestamp_pb2.Timestamp
    state: LinkState
    transport: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[LinkState, str]] = ..., peer_network_id: _Optional[int] = ..., peer_instance_id: _Optional[str] = ..., last_error: _Optional[str] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., counts: _Optional[_Union[LinkCounts, _Mapping]] = ..., ksock: _Optional[int] = ..., networks_behind: _Optional[_Iterable[int]] = ..., session_id: _Optional[str] = ..., epochs: _Optional[int] = ..., resumed: _Optional[int] = ..., drops: _Optional[_Iterable[_Union[Drop, _Mapping]]] = ..., transport: _Optional[str] = ..., identity: _Optional[str] = ..., dialled: bool = ..., error_code: _Optional[str] = ..., peer_version: _Optional[str] = ..., renames: _Optional[_Iterable[str]] = ...) -> None: ...

class ProfileRequest(_message.Message):
    __slots__ = ["duration", "kind", "text"]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    duration: _duration_pb2.Duration
    kind: ProfileKind
    text: bool
    def __init__(self, kind: _Optional[_Union[ProfileKind, str]] = ..., duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., text: bool = ...) -> None: ...

class ProfileResponse(_message.Message):
    __slots__ = ["data"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class ReloadRequest(_message.Message):
    __slots__ = ["dry_run"]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    def __init__(self, dry_run: bool = ...) -> None: ...

class ReloadResponse(_message.Message):
    __slots__ = ["changes"]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[ConfigChange]
    def __init__(self, changes: _Optional[_Iterable[_Union[ConfigChange, _Mapping]]] = ...) -> None: ...

class RuleVerdict(_message.Message):
    __slots__ = ["action", "allowed", "object", "of_link", "rule", "text"]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    OF_LINK_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    action: str
    allowed: bool
    object: str
    of_link: bool
    rule: int
    text: str
    def __init__(self, action: _Optional[str] = ..., object: _Optional[str] = ..., allowed: bool = ..., rule: _Optional[int] = ..., of_link: bool = ..., text: _Optional[str] = ...) -> None: ...

class WatchLinksRequest(_message.Message):
    __slots__ = ["link"]
    LINK_FIELD_NUMBER: _ClassVar[int]
    link: str
    def __init__(self, link: _Optional[str] = ...) -> None: ...

class WatchLinksResponse(_message.Message):
    __slots__ = ["links", "removed", "whole"]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    links: _containers.RepeatedCompositeFieldContainer[LinkStatus]
    removed: _containers.RepeatedScalarFieldContainer[str]
    whole: bool
    def __init__(self, removed: _Optional[_Iterable[str]] = ..., links: _Optional[_Iterable[_Union[LinkStatus, _Mapping]]] = ..., whole: bool = ...) -> None: ...

class ProfileKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class LinkState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
