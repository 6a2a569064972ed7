import ONNXTensor
import Testing

@Suite struct StorageTests {
  private func address(_ storage: TensorStorage) -> UInt { UInt(bitPattern: storage.base) }

  @Test func ownedStorageIsAligned() {
    for count in [0, 1, 63, 64, 65, 1000, 1 << 20] {
      let storage = TensorStorage(byteCount: count)
      #expect(address(storage) % 64 == 0)
      #expect(storage.byteCount == count)
      #expect(storage.isOwned)
    }
  }

  @Test func poolsGiveBuffersAgain() {
    let pool = BufferPool()
    func use(_ count: Int) -> UInt {
      let storage = TensorStorage(byteCount: count, pool: pool)
      storage.base.initializeMemory(as: UInt8.self, repeating: 0xA5, count: count)
      return address(storage)
    }
    let first = use(1000)
    #expect(use(1000) == first)
    // Of the same rounded size.
    #expect(use(990) == first)
    #expect(use(100_000) != first)
    #expect(use(1000) == first)
  }

  @Test func buffersInUseAreNotGivenAgain() {
    let pool = BufferPool()
    let live = (0..<8).map { _ in TensorStorage(byteCount: 500, pool: pool) }
    #expect(Set(live.map(address)).count == 8)
    let more = TensorStorage(byteCount: 500, pool: pool)
    #expect(!live.map(address).contains(address(more)))
  }

  @Test func buffersOutliveTheirPoolsOwner() {
    let storage: TensorStorage = {
      let pool = BufferPool()
      return TensorStorage(byteCount: 64, pool: pool)
    }()
    storage.base.initializeMemory(as: UInt8.self, repeating: 7, count: 64)
    #expect(storage.base.load(as: UInt8.self) == 7)
  }

  @Test func threadsShareAPool() async {
    let pool = BufferPool()
    let clean = await withTaskGroup(of: Bool.self) { group in
      for task in UInt8(0)..<8 {
        group.addTask {
          for round in 0..<500 {
            let count = 64 + round % 7 * 64
            let storage = TensorStorage(byteCount: count, pool: pool)
            let bytes = storage.base.initializeMemory(as: UInt8.self, repeating: task, count: count)
            if !UnsafeBufferPointer(start: bytes, count: count).allSatisfy({ $0 == task }) { return false }
          }
          return true
        }
      }
      return await group.allSatisfy { $0 }
    }
    #expect(clean)
  }

  private final class Owner {
    let bytes: UnsafeMutableRawBufferPointer
    let ended: () -> Void

    init(_ values: [UInt8], ended: @escaping () -> Void) {
      bytes = .allocate(byteCount: values.count, alignment: 64)
      bytes.copyBytes(from: values)
      self.ended = ended
    }

    deinit {
      bytes.deallocate()
      ended()
    }
  }

  @Test func viewsKeepTheirOwner() {
    var hasEnded = false
    do {
      let tensor: Tensor = {
        let owner = Owner(Array(0..<32)) { hasEnded = true }
        let view = ByteView(UnsafeRawBufferPointer(owner.bytes), owner: owner)
        return Tensor(
          elementType: .uint8, shape: [4, 8], storage: TensorStorage(viewing: view.bytes, owner: view.owner))
      }()
      #expect(!hasEnded)
      #expect(!tensor.storage.isOwned)
      let row = tensor.rows(1..<2)
      #expect(row.array(UInt8.self) == Array(8..<16))
      #expect(!hasEnded)
      withExtendedLifetime(tensor) {}
    }
    #expect(hasEnded)
  }

  @Test func viewsOfATensorShareItsBytes() {
    let tensor = Tensor((0..<24).map(Float.init), shape: [4, 3, 2])
    for view in [tensor.reshaped([6, 4]), tensor.reshaped([24]), tensor.reinterpreted(as: .int32)] {
      #expect(view.storage === tensor.storage)
      #expect(view.count == 24)
    }
    let rows = tensor.rows(1..<3)
    #expect(rows.storage === tensor.storage)
    #expect(rows.shape == [2, 3, 2])
    #expect(rows.array(Float.self) == (6..<18).map(Float.init))
    #expect(rows.rows(1..<2).array(Float.self) == (12..<18).map(Float.init))
    #expect(tensor.rows(4..<4).count == 0)
    #expect(tensor.reinterpreted(as: .uint32).array(UInt32.self)[1] == (1 as Float).bitPattern)
  }

  @Test func byteViewsOfATensor() {
    let rows = Tensor((0..<8).map(Int16.init), shape: [4, 2]).rows(2..<4)
    let view = ByteView(rows)
    #expect(view.count == 8)
    #expect(withExtendedLifetime(view) { Array($0.bytes.bindMemory(to: Int16.self)) } == [4, 5, 6, 7])
    #expect(withExtendedLifetime(ByteView([3, 1, 2])) { Array($0.bytes) } == [3, 1, 2])
    #expect(ByteView([]).count == 0)
  }

  @Test func scalarsAndEmptyTensors() {
    #expect(Tensor(scalar: Float(2)).shape == [])
    #expect(Tensor(scalar: Float(2)).count == 1)
    let empty = Tensor([Float](), shape: [3, 0, 2])
    #expect(empty.count == 0 && empty.byteCount == 0)
    #expect(empty.reshaped([0]).array(Float.self) == [])
    let strings = Tensor(strings: [Array("a".utf8), Array("b".utf8)], shape: [2])
    #expect(strings.reshaped([1, 2]).strings == strings.strings)
  }

  @Test func runtimeValuesSeenAsTensors() {
    let tensor = Tensor(scalar: Int64(3))
    #expect(RuntimeValue.tensor(tensor).tensor?.integers == [3])
    #expect(RuntimeValue.optional(.tensor(tensor)).tensor?.integers == [3])
    #expect(RuntimeValue.optional(nil).tensor == nil)
    #expect(RuntimeValue.sequence([.tensor(tensor)]).tensor == nil)
    #expect(RuntimeValue.map(keys: tensor, values: .tensor(tensor)).tensor == nil)
  }
}
