from google.protobuf import timestamp_pb2 as _timestamp_pb2
from . import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
DROP_SOURCE_BUS: DropSource
DROP_SOURCE_LINK: DropSource
DROP_SOURCE_RULES: DropSource
DROP_SOURCE_UNSPECIFIED: DropSource

class DropCount(_message.Message):
    __slots__ = ["count", "from_peer", "link", "reason", "source"]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    FROM_PEER_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    count: int
    from_peer: bool
    link: str
    reason: str
    source: DropSource
    def __init__(self, source: _Optional[_Union[DropSource, str]] = ..., link: _Optional[str] = ..., from_peer: bool = ..., reason: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class DroppedMessage(_message.Message):
    __slots__ = ["data_size", "from_peer", "identity", "link", "message", "missed_by", "missed_by_link", "reason", "source", "time"]
    DATA_SIZE_FIELD_NUMBER: _ClassVar[int]
    FROM_PEER_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MISSED_BY_FIELD_NUMBER: _ClassVar[int]
    MISSED_BY_LINK_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    data_size: int
    from_peer: bool
    identity: str
    link: str
    message: _message_pb2.Message
    missed_by: int
    missed_by_link: str
    reason: str
    source: DropSource
    time: _timestamp_pb2.Timestamp
    def __init__(self, source: _Optional[_Union[DropSource, str]] = ..., link: _Optional[str] = ..., from_peer: bool = ..., reason: _Optional[str] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., data_size: _Optional[int] = ..., missed_by: _Optional[int] = ..., missed_by_link: _Optional[str] = ..., identity: _Optional[str] = ...) -> None: ...

class WatchDropsRequest(_message.Message):
    __slots__ = ["link", "name", "reasons"]
    LINK_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    link: str
    name: str
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, link: _Optional[str] = ..., name: _Optional[str] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchDropsResponse(_message.Message):
    __slots__ = ["drops", "untold", "whole"]
    DROPS_FIELD_NUMBER: _ClassVar[int]
    UNTOLD_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    drops: _containers.RepeatedCompositeFieldContainer[DroppedMessage]
    untold: _containers.RepeatedCompositeFieldContainer[DropCount]
    whole: bool
    def __init__(self, drops: _Optional[_Iterable[_Union[DroppedMessage, _Mapping]]] = ..., untold: _Optional[_Iterable[_Union[DropCount, _Mapping]]] = ..., whole: bool = ...) -> None: ...

class DropSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
