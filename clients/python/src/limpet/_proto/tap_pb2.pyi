from google.protobuf import timestamp_pb2 as _timestamp_pb2
from . import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
TAP_DIRECTION_FROM_PEER: TapDirection
TAP_DIRECTION_TO_PEER: TapDirection
TAP_DIRECTION_UNSPECIFIED: TapDirection
TAP_KIND_ANNOUNCEMENT: TapKind
TAP_KIND_BIND_EVENT: TapKind
TAP_KIND_REPLY: TapKind
TAP_KIND_REQUEST: TapKind
TAP_KIND_UNSPECIFIED: TapKind
TAP_VERDICT_DELIVERED: TapVerdict
TAP_VERDICT_DROPPED: TapVerdict
TAP_VERDICT_FORWARDED: TapVerdict
TAP_VERDICT_UNSPECIFIED: TapVerdict

class TapLost(_message.Message):
    __slots__ = ["no_room", "over_rate"]
    NO_ROOM_FIELD_NUMBER: _ClassVar[int]
    OVER_RATE_FIELD_NUMBER: _ClassVar[int]
    no_room: int
    over_rate: int
    def __init__(self, over_rate: _Optional[int] = ..., no_room: _Optional[int] = ...) -> None: ...

class TapRecord(_message.Message):
    __slots__ = ["data", "data_withheld", "direction", "given", "kind", "link", "loss", "own", "read", "reason", "size", "time", "verdict"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DATA_WITHHELD_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    GIVEN_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    OWN_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    data_withheld: bool
    direction: TapDirection
    given: _message_pb2.Message
    kind: TapKind
    link: str
    loss: bool
    own: bool
    read: _message_pb2.Message
    reason: str
    size: int
    time: _timestamp_pb2.Timestamp
    verdict: TapVerdict
    def __init__(self, time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., link: _Optional[str] = ..., direction: _Optional[_Union[TapDirection, str]] = ..., verdict: _Optional[_Union[TapVerdict, str]] = ..., reason: _Optional[str] = ..., loss: bool = ..., own: bool = ..., kind: _Optional[_Union[TapKind, str]] = ..., read: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., given: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., size: _Optional[int] = ..., data: _Optional[bytes] = ..., data_withheld: bool = ...) -> None: ...

class TapRequest(_message.Message):
    __slots__ = ["direction", "kinds", "links", "max_data", "max_rate", "names", "reasons"]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    MAX_DATA_FIELD_NUMBER: _ClassVar[int]
    MAX_RATE_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    direction: TapDirection
    kinds: _containers.RepeatedScalarFieldContainer[TapKind]
    links: _containers.RepeatedScalarFieldContainer[str]
    max_data: int
    max_rate: int
    names: _containers.RepeatedScalarFieldContainer[str]
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ..., links: _Optional[_Iterable[str]] = ..., direction: _Optional[_Union[TapDirection, str]] = ..., kinds: _Optional[_Iterable[_Union[TapKind, str]]] = ..., reasons: _Optional[_Iterable[str]] = ..., max_rate: _Optional[int] = ..., max_data: _Optional[int] = ...) -> None: ...

class TapResponse(_message.Message):
    __slots__ = ["lost", "records", "start"]
    LOST_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    lost: TapLost
    records: _containers.RepeatedCompositeFieldContainer[TapRecord]
    start: TapStart
    def __init__(self, start: _Optional[_Union[TapStart, _Mapping]] = ..., records: _Optional[_Iterable[_Union[TapRecord, _Mapping]]] = ..., lost: _Optional[_Union[TapLost, _Mapping]] = ...) -> None: ...

class TapStart(_message.Message):
    __slots__ = ["bus", "format", "max_data", "max_rate", "network_id", "time", "version"]
    BUS_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    MAX_DATA_FIELD_NUMBER: _ClassVar[int]
    MAX_RATE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    bus: str
    format: int
    max_data: int
    max_rate: int
    network_id: int
    time: _timestamp_pb2.Timestamp
    version: str
    def __init__(self, format: _Optional[int] = ..., version: _Optional[str] = ..., network_id: _Optional[int] = ..., bus: _Optional[str] = ..., max_rate: _Optional[int] = ..., max_data: _Optional[int] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TapDirection(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class TapKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class TapVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
