from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListProgramsRequest(_message.Message):
    __slots__ = ["may", "page_size", "page_token"]
    MAY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    may: str
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., may: _Optional[str] = ...) -> None: ...

class ListProgramsResponse(_message.Message):
    __slots__ = ["next_page_token", "peers", "programs"]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    next_page_token: str
    peers: _containers.RepeatedCompositeFieldContainer[PeerRights]
    programs: _containers.RepeatedCompositeFieldContainer[Program]
    def __init__(self, programs: _Optional[_Iterable[_Union[Program, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., peers: _Optional[_Iterable[_Union[PeerRights, _Mapping]]] = ...) -> None: ...

class PeerRights(_message.Message):
    __slots__ = ["link", "rights"]
    LINK_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    link: str
    rights: _containers.RepeatedCompositeFieldContainer[Right]
    def __init__(self, link: _Optional[str] = ..., rights: _Optional[_Iterable[_Union[Right, _Mapping]]] = ...) -> None: ...

class Program(_message.Message):
    __slots__ = ["call", "detached_since", "held_bytes", "identity", "ksock", "names", "names_bound", "owed", "queued", "rights", "since", "source"]
    CALL_FIELD_NUMBER: _ClassVar[int]
    DETACHED_SINCE_FIELD_NUMBER: _ClassVar[int]
    HELD_BYTES_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    KSOCK_FIELD_NUMBER: _ClassVar[int]
    NAMES_BOUND_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    OWED_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    call: str
    detached_since: _timestamp_pb2.Timestamp
    held_bytes: int
    identity: str
    ksock: int
    names: _containers.RepeatedCompositeFieldContainer[ProgramName]
    names_bound: int
    owed: int
    queued: int
    rights: _containers.RepeatedCompositeFieldContainer[Right]
    since: _timestamp_pb2.Timestamp
    source: str
    def __init__(self, identity: _Optional[str] = ..., source: _Optional[str] = ..., call: _Optional[str] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., ksock: _Optional[int] = ..., names_bound: _Optional[int] = ..., names: _Optional[_Iterable[_Union[ProgramName, _Mapping]]] = ..., owed: _Optional[int] = ..., queued: _Optional[int] = ..., held_bytes: _Optional[int] = ..., detached_since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., rights: _Optional[_Iterable[_Union[Right, _Mapping]]] = ...) -> None: ...

class ProgramName(_message.Message):
    __slots__ = ["is_replier", "name"]
    IS_REPLIER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    is_replier: bool
    name: str
    def __init__(self, name: _Optional[str] = ..., is_replier: bool = ...) -> None: ...

class Right(_message.Message):
    __slots__ = ["action", "allowed", "of_link", "rule"]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    OF_LINK_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    action: str
    allowed: bool
    of_link: bool
    rule: int
    def __init__(self, action: _Optional[str] = ..., allowed: bool = ..., rule: _Optional[int] = ..., of_link: bool = ...) -> None: ...
