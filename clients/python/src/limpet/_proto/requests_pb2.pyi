from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
OPEN_REQUEST_STATE_ACKNOWLEDGED: OpenRequestState
OPEN_REQUEST_STATE_HANDED: OpenRequestState
OPEN_REQUEST_STATE_QUEUED: OpenRequestState
OPEN_REQUEST_STATE_READ: OpenRequestState
OPEN_REQUEST_STATE_TAKEN: OpenRequestState
OPEN_REQUEST_STATE_UNSPECIFIED: OpenRequestState

class ListOpenRequestsRequest(_message.Message):
    __slots__ = ["link", "min_age", "name", "page_size", "page_token"]
    LINK_FIELD_NUMBER: _ClassVar[int]
    MIN_AGE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    link: str
    min_age: _duration_pb2.Duration
    name: str
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., link: _Optional[str] = ..., name: _Optional[str] = ..., min_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ListOpenRequestsResponse(_message.Message):
    __slots__ = ["next_page_token", "open", "requests"]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    next_page_token: str
    open: int
    requests: _containers.RepeatedCompositeFieldContainer[OpenRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[OpenRequest, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., open: _Optional[int] = ...) -> None: ...

class ListSlowRepliersRequest(_message.Message):
    __slots__ = ["max"]
    MAX_FIELD_NUMBER: _ClassVar[int]
    max: int
    def __init__(self, max: _Optional[int] = ...) -> None: ...

class ListSlowRepliersResponse(_message.Message):
    __slots__ = ["repliers", "since"]
    REPLIERS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    repliers: _containers.RepeatedCompositeFieldContainer[SlowReplier]
    since: _timestamp_pb2.Timestamp
    def __init__(self, since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., repliers: _Optional[_Iterable[_Union[SlowReplier, _Mapping]]] = ...) -> None: ...

class OpenRequest(_message.Message):
    __slots__ = ["age", "asker", "asker_link", "id_network", "id_serial", "name", "replier", "replier_link", "since", "state"]
    AGE_FIELD_NUMBER: _ClassVar[int]
    ASKER_FIELD_NUMBER: _ClassVar[int]
    ASKER_LINK_FIELD_NUMBER: _ClassVar[int]
    ID_NETWORK_FIELD_NUMBER: _ClassVar[int]
    ID_SERIAL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REPLIER_FIELD_NUMBER: _ClassVar[int]
    REPLIER_LINK_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    age: _duration_pb2.Duration
    asker: int
    asker_link: str
    id_network: int
    id_serial: int
    name: str
    replier: int
    replier_link: str
    since: _timestamp_pb2.Timestamp
    state: OpenRequestState
    def __init__(self, id_network: _Optional[int] = ..., id_serial: _Optional[int] = ..., name: _Optional[str] = ..., asker: _Optional[int] = ..., asker_link: _Optional[str] = ..., replier: _Optional[int] = ..., replier_link: _Optional[str] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., state: _Optional[_Union[OpenRequestState, str]] = ...) -> None: ...

class SlowReplier(_message.Message):
    __slots__ = ["count", "ksock", "link", "max", "missing", "name", "p50", "p99", "sum"]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    KSOCK_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    P50_FIELD_NUMBER: _ClassVar[int]
    P99_FIELD_NUMBER: _ClassVar[int]
    SUM_FIELD_NUMBER: _ClassVar[int]
    count: int
    ksock: int
    link: str
    max: _duration_pb2.Duration
    missing: _duration_pb2.Duration
    name: str
    p50: _duration_pb2.Duration
    p99: _duration_pb2.Duration
    sum: _duration_pb2.Duration
    def __init__(self, name: _Optional[str] = ..., link: _Optional[str] = ..., ksock: _Optional[int] = ..., count: _Optional[int] = ..., sum: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., p50: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., p99: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., max: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., missing: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class OpenRequestState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
